/*
 * Work aside: a few threads, made when there is work that nobody is free for, kept until the platform goes.
 *
 * One lock guards both queues: `waiting`, in order, and `over`, what the loop's thread has to be told of. A thread
 * holds no pointer to work that it has put on `over`. All signals are blocked in these threads, so that a program's
 * handlers run where they ran before.
 */
#include "platform/linux/linux.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

struct tapsi_asides {
    struct tapsi_linux *platform;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct tapsi_link waiting, over;
    pthread_t threads[TAPSI_ASIDE_MAX];
    unsigned thread_count, idle;
    bool ending;
};

static struct tapsi_aside *aside_of(struct tapsi_link *link)
{
    return link ? TAPSI_CONTAINER(link, struct tapsi_aside, link) : NULL;
}

static struct tapsi_aside *next(struct tapsi_asides *a)
{
    a->idle++;
    while (!a->ending && tapsi_list_empty(&a->waiting))
        pthread_cond_wait(&a->more, &a->lock);
    a->idle--;
    return a->ending ? NULL : aside_of(tapsi_list_pop(&a->waiting));
}

static void *work_on(void *arg)
{
    struct tapsi_asides *a = arg;
    struct tapsi_aside *work;
    pthread_mutex_lock(&a->lock);
    while ((work = next(a))) {
        pthread_mutex_unlock(&a->lock);
        work->run(work);
        pthread_mutex_lock(&a->lock);
        tapsi_list_append(&a->over, &work->link);
        tapsi_linux_wake(&a->platform->base);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

static struct tapsi_asides *make(struct tapsi_linux *x)
{
    struct tapsi_asides *a = tapsi_zalloc(x->base.mem, sizeof(*a));
    if (!a)
        return NULL;
    a->platform = x;
    tapsi_link_init(&a->waiting);
    tapsi_link_init(&a->over);
    if (pthread_mutex_init(&a->lock, NULL) != 0)
        goto no_lock;
    if (pthread_cond_init(&a->more, NULL) != 0)
        goto no_more;
    return a;

no_more:
    pthread_mutex_destroy(&a->lock);
no_lock:
    tapsi_free(x->base.mem, a);
    return NULL;
}

static void add_thread(struct tapsi_asides *a)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&a->threads[a->thread_count], NULL, work_on, a) == 0)
        a->thread_count++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static size_t waiting(const struct tapsi_asides *a)
{
    size_t count = 0;
    for (const struct tapsi_link *l = a->waiting.next; l != &a->waiting && count < TAPSI_ASIDE_MAX; l = l->next)
        count++;
    return count;
}

int tapsi_linux_aside(struct tapsi_platform *p, struct tapsi_aside *work)
{
    struct tapsi_linux *x = tapsi_linux_of(p);
    if (!x->asides && !(x->asides = make(x)))
        return -ENOMEM;
    struct tapsi_asides *a = x->asides;
    pthread_mutex_lock(&a->lock);
    if (waiting(a) >= a->idle && a->thread_count < TAPSI_ASIDE_MAX)
        add_thread(a);
    bool taken = a->thread_count != 0;
    if (taken) {
        tapsi_list_append(&a->waiting, &work->link);
        pthread_cond_signal(&a->more);
    }
    pthread_mutex_unlock(&a->lock);
    return taken ? 0 : -EAGAIN;
}

bool tapsi_linux_recall(struct tapsi_platform *p, struct tapsi_aside *work)
{
    struct tapsi_asides *a = tapsi_linux_of(p)->asides;
    bool found = false;
    pthread_mutex_lock(&a->lock);
    for (struct tapsi_link *l = a->waiting.next; l != &a->waiting && !found; l = l->next)
        found = l == &work->link;
    if (found)
        tapsi_list_remove(&work->link);
    pthread_mutex_unlock(&a->lock);
    return found;
}

static void tell(struct tapsi_link *list)
{
    struct tapsi_aside *work;
    while ((work = aside_of(tapsi_list_pop(list))))
        work->done(work);
}

void tapsi_linux_asides_over(struct tapsi_linux *x)
{
    struct tapsi_link over;
    if (!x->asides)
        return;
    tapsi_link_init(&over);
    pthread_mutex_lock(&x->asides->lock);
    tapsi_list_splice(&over, &x->asides->over);
    pthread_mutex_unlock(&x->asides->lock);
    tell(&over);
}

void tapsi_linux_asides_done(struct tapsi_linux *x)
{
    struct tapsi_asides *a = x->asides;
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    a->ending = true;
    pthread_cond_broadcast(&a->more);
    pthread_mutex_unlock(&a->lock);
    for (unsigned i = 0; i < a->thread_count; i++)
        pthread_join(a->threads[i], NULL);
    tell(&a->over);
    tell(&a->waiting);
    pthread_cond_destroy(&a->more);
    pthread_mutex_destroy(&a->lock);
    tapsi_free(x->base.mem, a);
    x->asides = NULL;
}
