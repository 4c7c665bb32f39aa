/* Status texts and error reports. */
#include "base/status.h"

#include "base/revision.h"

#include <stdio.h>
#include <string.h>

const char *few_status_text(few_status s)
{
    static const char *const texts[] = {
#define X(name, text) text,
        FEW_STATUS_MAP(X)
#undef X
    };
    return (unsigned)s < FEW_STATUS_COUNT ? texts[s] : "unknown status";
}

const char *few_version(void)
{
    return FEW_VERSION;
}

const char *few_revision(void)
{
    return FEW_REVISION;
}

few_status few_fail(few_error *err, few_status code, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        err->code = code;
        vsnprintf(err->text, sizeof err->text, fmt, ap);
        va_end(ap);
    }
    return code;
}

few_status few_fail_in(few_error *err, const char *fmt, ...)
{
    if (!err)
        return FEW_EINVAL;
    char where[256], old[sizeof err->text];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(where, sizeof where, fmt, ap);
    va_end(ap);
    memcpy(old, err->text, sizeof old);
    const int room = sizeof old - sizeof where - 3; /* what the place surely leaves */
    snprintf(err->text, sizeof err->text, "%s: %.*s", where, room, old);
    return err->code;
}

void few_error_clear(few_error *err)
{
    if (err) {
        err->code = FEW_OK;
        err->text[0] = 0;
    }
}
