#include "connection/preconnection.h"

int tapsi_preconnection_new(struct taps_context *context, struct taps_preconnection **ret)
{
    struct taps_preconnection *p = tapsi_zalloc(&context->loop.mem, sizeof(*p));
    if (!p)
        return TAPS_E_MEMORY;
    int err = tapsi_config_new(&context->loop.mem, &p->config);
    if (err) {
        tapsi_free(&context->loop.mem, p);
        return err;
    }
    p->context = context;
    tapsi_error_clear(&p->error);
    tapsi_link_init(&p->link);
    tapsi_list_append(&context->preconnections, &p->link);
    *ret = p;
    return 0;
}

void tapsi_preconnection_free(struct taps_preconnection *p)
{
    if (!p)
        return;
    tapsi_list_remove(&p->link);
    tapsi_report_free(p->report);
    tapsi_config_unref(p->config);
    tapsi_free(&p->context->loop.mem, p);
}

void tapsi_preconnection_forget(struct taps_preconnection *p)
{
    tapsi_error_clear(&p->error);
    tapsi_report_free(p->report);
    p->report = NULL;
}

int tapsi_preconnection_check(struct taps_preconnection *p, enum tapsi_role role)
{
    tapsi_preconnection_forget(p);
    int err = tapsi_config_check(p->config, role, &p->error);
    if (err)
        tapsi_report_from_config(p->config, role, &p->report); /* without memory the error's words must do */
    return err;
}
