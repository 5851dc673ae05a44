/*
 * Sharing is safe because GnuTLS only reads credentials while it verifies; nobody but `load` changes them. The count of
 * uses is there for the end of the process: a store that a thread still verifies with is not pulled away from under it.
 */
#include "stack/secure/trust.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static gnutls_certificate_credentials_t store;
static unsigned uses;

static int load(struct tapsi_error *ret_error)
{
    gnutls_certificate_credentials_t fresh;
    if (gnutls_certificate_allocate_credentials(&fresh) < 0)
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for the system's trust store");
    int count = gnutls_certificate_set_x509_system_trust(fresh);
    if (count > 0) {
        store = fresh;
        return 0;
    }
    gnutls_certificate_free_credentials(fresh);
    if (count == GNUTLS_E_MEMORY_ERROR)
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for the system's trust store");
    if (count == 0)
        return tapsi_error_set(ret_error, TAPS_E_CONFIGURATION,
                               "the system's trust store is empty: name the authorities to trust");
    return tapsi_error_native(ret_error, TAPS_E_CONFIGURATION, TAPS_DOMAIN_TLS, count,
                              "the system's trust store cannot be read: %s", gnutls_strerror(count));
}

int tapsi_trust_take(gnutls_certificate_credentials_t *ret, struct tapsi_error *ret_error)
{
    pthread_mutex_lock(&lock);
    int err = store ? 0 : load(ret_error);
    if (err == 0) {
        uses++;
        *ret = store;
    }
    pthread_mutex_unlock(&lock);
    return err;
}

void tapsi_trust_release(void)
{
    pthread_mutex_lock(&lock);
    uses--;
    pthread_mutex_unlock(&lock);
}

__attribute__((destructor)) static void unload(void)
{
    pthread_mutex_lock(&lock);
    if (store && uses == 0) {
        gnutls_certificate_free_credentials(store);
        store = NULL;
    }
    pthread_mutex_unlock(&lock);
}
