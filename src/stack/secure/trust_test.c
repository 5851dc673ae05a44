/* The one object that threads share. */
#include <pthread.h>
#include "base/test.h"
#include "stack/secure/trust.h"

#define THREADS 4
#define ROUNDS  50

static void *user(void *arg)
{
    gnutls_certificate_credentials_t *seen = arg, one;
    for (int i = 0; i < ROUNDS; i++) {
        if (tapsi_trust_take(&one, NULL) != 0)
            continue;
        *seen = one;
        tapsi_trust_release();
    }
    return NULL;
}

TEST(threads_share_one_store)
{
    pthread_t threads[THREADS];
    gnutls_certificate_credentials_t seen[THREADS] = {NULL}, again = NULL;
    struct tapsi_error error = {{0}, ""};
    for (int i = 0; i < THREADS; i++)
        NEED(pthread_create(&threads[i], NULL, user, &seen[i]) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    if (tapsi_trust_take(&again, &error) != 0) {
        CHECK_INT(error.pub.code, TAPS_E_CONFIGURATION);
        CHECK(strstr(error.pub.detail, "trust store"));
        tapsi_test_skip("this system has no trust store");
        return;
    }
    for (int i = 0; i < THREADS; i++)
        CHECK(seen[i] == again);
    tapsi_trust_release();
}
