/* What an op holds: the payload, and what layers put around it. */
#include "loop/op.h"

#include <string.h>
#include <sys/uio.h>
#include "base/test.h"
#include "platform/sim/sim.h"

struct world {
    struct tapsi_mem mem;
    struct tapsi_sim *sim;
    struct tapsi_platform *platform;
    struct tapsi_loop loop;
    struct tapsi_op *op;
};

static void begin(struct world *w)
{
    tapsi_mem_init(&w->mem, NULL);
    w->sim = tapsi_sim_new(1);
    CHECK_INT(tapsi_sim_platform_new(tapsi_sim_host_new(w->sim, "host"), &w->mem, &w->platform), 0);
    CHECK_INT(tapsi_loop_init(&w->loop, &w->mem, w->platform), 0);
    w->op = tapsi_op_new(&w->loop);
    CHECK(w->op != NULL);
}

static void end(struct world *w)
{
    tapsi_op_unref(w->op);
    tapsi_loop_done(&w->loop);
    tapsi_sim_free(w->sim);
}

/* All that was not taken yet, as text. */
static const char *text_of(const struct tapsi_op *op)
{
    static char text[128];
    struct iovec iov[TAPSI_OP_RANGES];
    size_t length = 0;
    unsigned count = tapsi_op_iovec(op, iov, TAPSI_OP_RANGES);
    for (unsigned i = 0; i < count; i++) {
        memcpy(text + length, iov[i].iov_base, iov[i].iov_len);
        length += iov[i].iov_len;
    }
    text[length] = '\0';
    return text;
}

static void put_around(struct tapsi_op *op)
{
    tapsi_op_prepend(op, "5:", 2);
    tapsi_op_append(op, ",", 1);
    tapsi_op_prepend(op, "<", 1);
    tapsi_op_append(op, ">", 1);
}

TEST(what_layers_add_stands_around_the_payload)
{
    struct world w;
    begin(&w);
    CHECK_INT(tapsi_op_copy(w.op, "bytes", 5), 0);
    put_around(w.op);
    CHECK_TEXT(text_of(w.op), "<5:bytes,>");
    end(&w);
}

TEST(what_layers_add_is_counted_apart_from_the_payload)
{
    struct world w;
    begin(&w);
    tapsi_op_lend(w.op, "bytes", 5, NULL);
    put_around(w.op);
    CHECK_INT(w.op->length, 10);
    CHECK_INT(w.op->added, 5);
    end(&w);
}

TEST(around_an_empty_payload_too)
{
    struct world w;
    begin(&w);
    CHECK_INT(tapsi_op_copy(w.op, "", 0), 0);
    put_around(w.op);
    CHECK_TEXT(text_of(w.op), "<5:,>");
    CHECK_INT(w.op->length - w.op->added, 0);
    end(&w);
}

TEST(what_was_taken_is_not_given_again)
{
    static const char whole[] = "<5:bytes,>";
    struct world w;
    begin(&w);
    tapsi_op_lend(w.op, "bytes", 5, NULL);
    put_around(w.op);
    for (w.op->taken = 0; w.op->taken < w.op->length; w.op->taken++)
        CHECK_TEXT(text_of(w.op), whole + w.op->taken);
    CHECK_INT(tapsi_op_iovec(w.op, &(struct iovec){0}, 1), 0);
    end(&w);
}
