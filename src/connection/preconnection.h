/* The Preconnection: a config in the making, and what the last action on it said. */
#ifndef TAPSI_CONNECTION_PRECONNECTION_H
#define TAPSI_CONNECTION_PRECONNECTION_H

#include "connection/context.h"
#include "establish/config.h"
#include "monitor/report.h"

struct taps_preconnection {
    struct taps_context *context;
    struct tapsi_link link;
    struct tapsi_config *config;
    struct tapsi_error error;
    struct taps_report *report; /* of a refused action, or NULL */
};

int tapsi_preconnection_new(struct taps_context *context, struct taps_preconnection **ret);
void tapsi_preconnection_free(struct taps_preconnection *preconnection);
/* Before each action: what the last one said. */
void tapsi_preconnection_forget(struct taps_preconnection *preconnection);
/* The same, and checks the configuration for this role (IMPL-01). */
int tapsi_preconnection_check(struct taps_preconnection *preconnection, enum tapsi_role role);

#endif
