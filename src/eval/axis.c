/* Ticks at round places.
 *
 * A linear step is 1, 2, 2.5 or 5 times a power of ten. Ticks are made as k * step from an integer
 * k, never by adding up, so that 0 is 0 and not 1e-17. */
#include "eval/axis.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static double round_step(double span, int ticks)
{
    static const double steps[] = { 1, 2, 2.5, 5, 10 };
    const double raw = span / ticks, power = pow(10, floor(log10(raw)));
    int k = 0;
    while (k < 4 && steps[k] * power < raw * (1 - 1e-9))
        k++;
    return steps[k] * power;
}

static void add_tick(few_axis *a, double value, double step)
{
    if (a->n_ticks == FEW_MAX_TICKS)
        return;
    few_axis_text(a->text[a->n_ticks], value, step);
    a->tick[a->n_ticks++] = value;
}

/* Ticks at multiples of step inside the range. */
static void linear_ticks(few_axis *a, double step)
{
    const double first = ceil(a->lo / step - 1e-9), last = floor(a->hi / step + 1e-9);
    for (double k = first; k <= last && a->n_ticks < FEW_MAX_TICKS; k++)
        add_tick(a, k * step, step);
}

/* Powers of base inside the range; false when these are all there are and fewer than three. */
static bool power_ticks(few_axis *a, double base, int ticks)
{
    const double scale = log(base);
    const int first = (int)ceil(log(a->lo) / scale - 1e-9);
    const int last = (int)floor(log(a->hi) / scale + 1e-9);
    const int each = (last - first) / ticks + 1;
    for (int k = first; k <= last; k += each)
        add_tick(a, pow(base, k), 0);
    return each > 1 || a->n_ticks >= 3;
}

/* 1, 2 and 5 times powers of ten inside the range. */
static void decade_ticks(few_axis *a)
{
    static const double parts[] = { 1, 2, 5 };
    for (int k = (int)floor(log10(a->lo)); k <= (int)ceil(log10(a->hi)); k++)
        for (int i = 0; i < 3; i++) {
            const double value = parts[i] * pow(10, k);
            if (value >= a->lo && value <= a->hi)
                add_tick(a, value, 0);
        }
}

void few_axis_fit(few_axis *a, few_axis_kind kind, double lo, double hi, int ticks)
{
    memset(a, 0, sizeof *a);
    ticks = ticks < 2 ? 2 : ticks > 10 ? 10 : ticks;
    if (!(lo >= -1e300 && lo <= hi && hi <= 1e300)) {
        lo = kind == FEW_AXIS_LINEAR ? 0 : 1;
        hi = kind == FEW_AXIS_LINEAR ? 1 : 10;
    }
    if (kind != FEW_AXIS_LINEAR && !(lo > 0))
        kind = FEW_AXIS_LINEAR;
    a->kind = kind;

    if (kind == FEW_AXIS_LINEAR) {
        double span = hi - lo;
        if (span <= fabs(hi) * 1e-12 ||
            span < 1e-300) { /* one value: half as much on either side */
            span = hi ? fabs(hi) : 1;
            lo -= span / 2;
            hi += span / 2;
        }
        const double step = round_step(hi - lo, ticks);
        a->lo = fmin(lo, floor(lo / step + 1e-9) * step);
        a->hi = fmax(hi, ceil(hi / step - 1e-9) * step);
        linear_ticks(a, step);
        return;
    }

    const double base = kind == FEW_AXIS_LOG2 ? 2 : 10;
    if (hi / lo < 1.001) {
        lo /= base;
        hi *= base;
    }
    const double margin = pow(hi / lo, 0.04);
    a->lo = lo / margin;
    a->hi = hi * margin;
    if (power_ticks(a, base, ticks))
        return;
    if (kind == FEW_AXIS_LOG10) {
        a->n_ticks = 0;
        decade_ticks(a);
    }
    for (int more = ticks; a->n_ticks < 3; more *= 2) {
        a->n_ticks = 0;
        linear_ticks(a, round_step(a->hi - a->lo, more));
    }
}

double few_axis_place(const few_axis *a, double value)
{
    if (a->kind == FEW_AXIS_LINEAR)
        return (value - a->lo) / (a->hi - a->lo);
    return value > 0 ? log(value / a->lo) / log(a->hi / a->lo) : NAN;
}

/* Digits after the point that tell value from its neighbours; at most 9. */
static int decimals(double value, double step)
{
    for (int k = 0; k < 9; k++) {
        const double scaled = (step > 0 ? step : value) * pow(10, k);
        if (fabs(scaled - round(scaled)) <= 1e-6 * fabs(scaled))
            return k;
    }
    return 9;
}

/* %g with `digits` digits, and exponents as in 1e-5. */
static void scientific(char text[24], double value, int digits)
{
    char number[24];
    digits = digits < 1 ? 1 : digits > 15 ? 15 : digits;
    snprintf(number, sizeof number, "%.*g", digits, value);
    char *e = strchr(number, 'e');
    int power;
    if (e && sscanf(e + 1, "%d", &power) == 1)
        snprintf(text, 24, "%.*se%d", (int)(e - number), number, power);
    else
        snprintf(text, 24, "%s", number);
}

void few_axis_text(char text[24], double value, double step)
{
    static const char *const units[] = { "", "k", "M", "G", "T" };
    const double size = fabs(value), grain = step > 0 ? step : size;
    if (!isfinite(value)) {
        snprintf(text, 24, "-");
        return;
    }
    if (size == 0) {
        snprintf(text, 24, "0");
        return;
    }
    if (size >= 1e15 || (step > 0 ? step < 1e-5 : size < 1e-3)) {
        scientific(text, value, step > 0 ? (int)log10(size / step) + 3 : 3);
        return;
    }

    int unit = 0; /* none for 16384, nor for what needs all its digits */
    double scale = 1;
    if (grain * 1e6 >= size && (size >= 1e6 || (size >= 1e4 && fmod(grain, 100) == 0)))
        for (unit = 1, scale = 1e3; size / scale >= 1e3 && unit < 4; unit++)
            scale *= 1e3;
    int places = decimals(value / scale, step / scale);
    const int most = 3 - (int)floor(log10(size / scale)); /* for four digits */
    if (step == 0 && places > most)
        places = most < 0 ? 0 : most;
    snprintf(text, 24, "%.*f%s", places, value / scale, units[unit]);
}
