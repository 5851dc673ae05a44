/* What the application does. */
#include <string.h>
#include "play.h"

/* "final lifetime 0.02 priority 5": property names and values for this Message, or the flags "partial" and "lent". */
static taps_message_context *message_of(const char *rest, unsigned *ret_flags)
{
    taps_message_context *context = NULL;
    char name[32], value[32];
    while (script_next_word(&rest, name, sizeof(name))) {
        if (strcmp(name, "partial") == 0) {
            *ret_flags |= TAPS_SEND_PARTIAL;
            continue;
        }
        if (!context && taps_message_context_new(&context))
            return NULL;
        if (strcmp(name, "final") == 0)
            taps_message_context_set(context, "final", "true");
        else if (script_next_word(&rest, value, sizeof(value)))
            taps_message_context_set(context, name, value);
    }
    return context;
}

size_t play_fill(char *data, unsigned message, uint64_t length)
{
    size_t count = length < PLAY_DATA_MAX ? length : PLAY_DATA_MAX;
    for (size_t i = 0; i < count; i++)
        data[i] = play_byte(message, i);
    return count;
}

static void send_message(struct play *p, const struct script_line *line)
{
    static char data[PLAY_DATA_MAX];
    unsigned flags = 0, number = p->message_count;
    if (number == PLAY_MESSAGES)
        return;
    taps_message_context *context = message_of(line->words[0], &flags);
    size_t length = play_fill(data, number, line->numbers[0]);
    p->messages[p->message_count++] = (struct play_message){.length = length};
    int err = taps_connection_send(p->connection, data, length, context, flags, (void *)(uintptr_t)(number + 1));
    play_say(p, "Send %u, %zu bytes: %s", number + 1, length, taps_err_name(err));
    if (err)
        p->message_count--;
    taps_message_context_free(context);
}

static size_t or_all(uint64_t count)
{
    return count >= PLAY_DATA_MAX ? SIZE_MAX : count;
}

static void act_on_connection(struct play *p, const struct script_line *line)
{
    switch (line->verb) {
    case SCRIPT_SEND:
        send_message(p, line);
        break;
    case SCRIPT_KEEP_RECEIVING:
    case SCRIPT_RECEIVE:
        play_say(p, "Receive");
        if (line->verb == SCRIPT_KEEP_RECEIVING) {
            p->keep_min = or_all(line->numbers[0]);
            p->keep_max = line->numbers[1];
        }
        taps_connection_receive(p->connection, or_all(line->numbers[0]), line->numbers[1], NULL);
        break;
    case SCRIPT_CLOSE:
        p->close_called = true;
        play_say(p, "Close: %s", taps_err_name(taps_connection_close(p->connection)));
        break;
    case SCRIPT_ABORT:
        p->abort_called = true;
        play_say(p, "Abort: %s", taps_err_name(taps_connection_abort(p->connection)));
        break;
    case SCRIPT_FREE:
        play_say(p, "Free");
        taps_connection_free(p->connection);
        p->connection = NULL;
        p->end = p->end ? p->end : PLAY_FREED;
        break;
    default:
        play_say(p, "Set %s: %s", line->words[0],
                 taps_err_name(taps_connection_set_property(p->connection, line->words[0], line->words[1])));
        break;
    }
}

void play_act(struct play *p, const struct script_line *line)
{
    if (line->verb == SCRIPT_FAIL_ALLOCATION) {
        p->fail_allocation = line->numbers[0];
    } else if (line->verb >= SCRIPT_SEND && line->verb <= SCRIPT_SET) {
        if (p->connection)
            act_on_connection(p, line);
    } else if (!stage_do(&p->stage, line)) {
        play_wrong(p, "%s", p->stage.problem);
    }
}
