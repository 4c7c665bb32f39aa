/* The optimiser's passes over the parameters: Adam and RAdam with decoupled weight decay and
 * moving averages in one, and the gradient's square for clipping.
 *
 *   g = grad_scale grad;  m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2
 *   p -= lr wd p;  p -= lr rectify m^ / (sqrt(v^) + eps), or lr m^ when rectify = 0
 *   ema_j = d_j ema_j + (1-d_j) p
 *
 * Adam: arXiv:1412.6980; decay: arXiv:1711.05101; RAdam: arXiv:1908.03265, where v^ has its root
 * taken before eps is added, as in Adam. The pass is bound by memory, so everything is in it. */
#include "cpu/simd.h"
#include "cpu/simd/vec.h"

#define SQUARE_BLOCK (128 * W) /* elements summed in f32 */

static double grad_square(const float *grad, int64_t n)
{
    double total = 0;
    for (int64_t j = 0; j < n; j += SQUARE_BLOCK) {
        const int64_t end = j + SQUARE_BLOCK < n ? j + SQUARE_BLOCK : n;
        vf s = splat(0);
        for (int64_t i = j; i < end; i += W) {
            const vf g = load1(grad + i, end - i);
            s += g * g;
        }
        total += (double)sum(s);
    }
    return total;
}

static void adam(const few_adam_args *a)
{
    const float decay = a->lr * a->weight_decay;
    const float plain = a->lr * a->correct1, adaptive = plain * a->rectify;
    for (int64_t i = 0; i < a->n; i += W) {
        const int64_t left = a->n - i;
        const vf g = a->grad_scale * load1(a->grad + i, left);
        const vf m = a->beta1 * load1(a->m + i, left) + (1 - a->beta1) * g;
        const vf v = a->beta2 * load1(a->v + i, left) + (1 - a->beta2) * (g * g);
        const vf step =
            a->rectify > 0 ? adaptive * m / (vsqrt(v * a->correct2) + a->eps) : plain * m;
        vf p = load1(a->p + i, left);
        p = p - decay * p - step;
        store1(a->m + i, left, m);
        store1(a->v + i, left, v);
        store1(a->p + i, left, p);
        for (int k = 0; k < a->n_ema; k++) {
            const vf ema = load1(a->ema[k] + i, left);
            store1(a->ema[k] + i, left, ema + (1 - a->ema_decay[k]) * (p - ema));
        }
    }
}
