/* The file that a context keeps its sessions in, when it was given one (taps_context_set_session_file). */
#ifndef TAPSI_CONNECTION_SESSIONS_H
#define TAPSI_CONNECTION_SESSIONS_H

#include "connection/context.h"

/* Loads it. 0, or why it is not used: TAPS_E_PERMISSION (others may read it, or it is not ours), TAPS_E_NOT_APPLICABLE
   (no caches are kept, or the platform has no files), TAPS_E_MEMORY, TAPS_E_SYSTEM. A file that is not there yet, or
   damaged, is no error. NULL: what there is is written, and the file let go. */
int tapsi_sessions_use(struct taps_context *context, const char *path);
/* Writes what has changed, and forgets the file. */
void tapsi_sessions_done(struct taps_context *context);

#endif
