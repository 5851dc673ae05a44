/*
 * Watches every test and every program of the tests without their help. The linker puts it before the public functions
 * (--wrap, see meson.build), so it sees each call and each event, and reports as a failed check of the running test (in
 * a program: on standard error, and aborts):
 *
 * - an event inside a call, or inside another event; one that comes though nobody runs the context; a call of a
 *   Connection, Listener or Preconnection that lets virtual time pass, that is, blocks (ARCH-01);
 * - Ready twice, anything but the failures of an establishment before Ready (API-144), Received after the final
 *   Message, after Close or after Abort, another end than ConnectionAborted after Abort;
 * - a second last event, or an event after the last, or after free (API-145); a state that goes back, or that does not
 *   suit the event; a Send or Receive that is taken after the last event; a Connection or Listener freed twice;
 * - a Send or Receive that was taken and had no event, or more than one, when the last event comes (API-111, API-120);
 *   an event with a tag that no Send has, a Receive that is answered before an earlier one; Sent before that of an
 * earlier Message, where none had a context that could let it overtake;
 * - the same of Listeners: listening once and first, nothing after stopped or establishment_error, no more Connections
 *   than set_new_connection_limit allows;
 * - a Connection's ConnectionReceived before Ready, of what is not ready to use, or in no group with it;
 * - Resolve's answer inside a call, or twice; a timer before its time, twice, or after it was cancelled.
 *
 * An application without a callback is not told, so what needs that callback is not checked then. Connections are kept
 * in mind for a while after free, and forgotten with their context.
 */
#ifndef TESTS_OBSERVER_H
#define TESTS_OBSERVER_H

/* Events seen by this thread since the program began: a test can check that it was watched. */
unsigned observer_events(void);
/* Knows nothing of what there is any more. */
void observer_forget(void);
/* Where set: told the `ret_` parameter of a call that gives an object and was refused. */
extern void (*observer_refused_hook)(void *ret);

#endif
