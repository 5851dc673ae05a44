/*
 * Watches every scenario without its help. The linker puts it before the public functions (--wrap), so it sees each
 * call and each event, and reports as a failed check of the running test:
 *
 * - an event inside a call, or inside another event; a call of a Connection, Listener or Preconnection that lets
 * virtual time pass, that is, blocks (ARCH-01);
 * - Ready twice, anything but the failures of an establishment before Ready (API-144), Received after the final
 * Message;
 * - a second last event, or an event after the last, or after free (API-145);
 * - a Send or Receive that was taken and had no event, or more than one, when the last event comes (API-111, API-120);
 * - the same of Listeners: listening once and first, nothing after stopped or establishment_error;
 * - Resolve's answer inside a call, or twice.
 *
 * An application without a callback is not told, so what needs that callback is not checked then.
 */
#ifndef TESTS_OBSERVER_H
#define TESTS_OBSERVER_H

/* Events seen by this thread since the program began: a test can check that it was watched. */
unsigned observer_events(void);

#endif
