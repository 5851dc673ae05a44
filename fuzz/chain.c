/*
 * The chain of certificates that a peer shows, byte by byte, and the status (OCSP) that it staples: a server's to our
 * client, or a client's to our server. One byte says which end it is and what the other asks for, then come up to four
 * certificates and a status. Each is one of ours, changed at some places, or whatever the input says. The peer has the
 * key of its certificate, so all that is left to find out is in those bytes.
 *
 * The handshake ends in either way, and is refused in words that a terminal can bear. A peer is called verified only if
 * its certificate has the key and the name that it had before it was changed.
 */
#include <gnutls/abstract.h>
#include <gnutls/x509.h>
#include "input.h"
#include "stack/secure/credentials.h"
#include "stack/tls/test_pair.h"
#include "support.h"

#define ASKED "example.test"
#define CHAIN 4

static const char authority[] = "-----BEGIN CERTIFICATE-----\n"
                                "MIIBKTCB3KADAgECAgEBMAUGAytlcDAMMQowCAYDVQQDDAFBMB4XDTI2MTEyMTIx\n"
                                "MTYwMloXDTQ4MTAxNjIxMTYwMlowDDEKMAgGA1UEAwwBQTAqMAUGAytlcAMhAOPA\n"
                                "R2DlMmXYxfIHdRkg9DFawxsFmYTWvQBlPNLzx1Ouo2MwYTAdBgNVHQ4EFgQUB8sn\n"
                                "ufy5lwIUdqahU9Z2d2UORVswHwYDVR0jBBgwFoAUB8snufy5lwIUdqahU9Z2d2UO\n"
                                "RVswDgYDVR0PAQH/BAQDAgIEMA8GA1UdEwEB/wQFMAMBAf8wBQYDK2VwA0EAZW5W\n"
                                "xkN0UoDJgL5EQHaMlizIU5dmGO7evEXLbcNWjsE9jwIMwPG5sciKJ5GabCXrk2Hc\n"
                                "qoENAzBNilrgpafCBw==\n"
                                "-----END CERTIFICATE-----\n";
static const char own_certificate[] = "-----BEGIN CERTIFICATE-----\n"
                                      "MIIBYTCCAROgAwIBAgIBAjAFBgMrZXAwDDEKMAgGA1UEAwwBQTAeFw0yNjExMjEy\n"
                                      "MTE3MjFaFw00ODA3MDgyMTE3MjFaMBcxFTATBgNVBAMMDGV4YW1wbGUudGVzdDAq\n"
                                      "MAUGAytlcAMhANY6qJGP/3ytBgw4KjAWcxD4I/Ix/GqnemDQDJm99JXlo4GOMIGL\n"
                                      "MB0GA1UdEQQWMBSCDGV4YW1wbGUudGVzdIcEwAACATALBgNVHQ8EBAMCB4AwHQYD\n"
                                      "VR0lBBYwFAYIKwYBBQUHAwEGCCsGAQUFBwMCMB0GA1UdDgQWBBR/7kBiK1zc2tg+\n"
                                      "HcbvK98CVIA0UTAfBgNVHSMEGDAWgBQHyye5/LmXAhR2pqFT1nZ3ZQ5FWzAFBgMr\n"
                                      "ZXADQQAiDIqBQQ98PE7/8l4EH0CGlugcwKWDfasjmHBSM0C52OOXitFvl+s1dEzA\n"
                                      "hOdPw7Tyw7BoZ18JtF44Uc3Se50M\n"
                                      "-----END CERTIFICATE-----\n";
static const char own_key[] = "-----BEGIN PRIVATE KEY-----\n"
                              "MC4CAQAwBQYDK2VwBCIEIP9oH/Zpt3+icdNzWTjUQuxpiMRjrxgGEy4hWGuJZnNd\n"
                              "-----END PRIVATE KEY-----\n";

static struct {
    struct fuzz_input in;
    gnutls_pcert_st chain[CHAIN];
    unsigned count;
    gnutls_ocsp_data_st status;
    bool accepts; /* the application, when it is asked */
} m;

static struct {
    gnutls_datum_t authority, certificate; /* DER */
    gnutls_pubkey_t public;
    gnutls_privkey_t private;
} own;

static void need(int r)
{
    if (r < 0)
        tapsi_test_fail(__FILE__, __LINE__, "cannot make a certificate: %s", gnutls_strerror(r));
}

/* The certificates are good then, and so are the responses in the corpus. */
static time_t that_day(time_t *to)
{
    time_t now = 1830000000; /* in 2027 */
    if (to)
        *to = now;
    return now;
}

static gnutls_datum_t datum(const char *text)
{
    return (gnutls_datum_t){(unsigned char *)(uintptr_t)text, (unsigned)strlen(text)};
}

static void set_up(void)
{
    gnutls_datum_t key = datum(own_key), pem = datum(own_certificate), authority_pem = datum(authority);
    if (own.private)
        return;
    gnutls_global_set_time_function(that_day);
    need(gnutls_pem_base64_decode2(NULL, &pem, &own.certificate));
    need(gnutls_pem_base64_decode2(NULL, &authority_pem, &own.authority));
    need(gnutls_privkey_init(&own.private));
    need(gnutls_privkey_import_x509_raw(own.private, &key, GNUTLS_X509_FMT_PEM, NULL, 0));
    need(gnutls_pubkey_init(&own.public));
    need(gnutls_pubkey_import_privkey(own.public, own.private, 0, 0));
}

/* ---------------------------------------------------------------------------------------------------- the chain */

/* Some bytes take the place of others, as many or not. */
static void change(gnutls_datum_t *bytes)
{
    size_t count;
    unsigned at = fuzz_below(&m.in, 512), gone = fuzz_below(&m.in, 8);
    const uint8_t *fresh = fuzz_bytes(&m.in, fuzz_below(&m.in, 32), &count);
    if (at > bytes->size)
        at = bytes->size;
    if (gone > bytes->size - at)
        gone = bytes->size - at;
    size_t rest = bytes->size - at - gone;
    unsigned char *to = gnutls_malloc(at + count + rest + 1);
    memcpy(to, bytes->data, at);
    if (count)
        memcpy(to + at, fresh, count);
    memcpy(to + at + count, bytes->data + at + gone, rest);
    gnutls_free(bytes->data);
    *bytes = (gnutls_datum_t){to, (unsigned)(at + count + rest)};
}

static gnutls_datum_t copy_of(const void *bytes, size_t count)
{
    gnutls_datum_t copy = {gnutls_malloc(count + 1), (unsigned)count};
    if (!copy.data)
        abort();
    if (count)
        memcpy(copy.data, bytes, count);
    return copy;
}

static gnutls_datum_t read_bytes(void)
{
    size_t count;
    const uint8_t *at = fuzz_bytes(&m.in, (size_t)fuzz_number(&m.in, 2), &count);
    return copy_of(at, count);
}

static gnutls_datum_t read_certificate(void)
{
    gnutls_datum_t bytes;
    unsigned kind = fuzz_below(&m.in, 8);
    if (kind == 7)
        return read_bytes();
    const gnutls_datum_t *base = kind == 6 ? &own.authority : &own.certificate;
    bytes = copy_of(base->data, base->size);
    for (unsigned i = 0; i < kind % 6; i++)
        change(&bytes);
    return bytes;
}

static void read_chain(void)
{
    m.count = 1 + fuzz_below(&m.in, CHAIN);
    for (unsigned i = 0; i < m.count; i++)
        m.chain[i] = (gnutls_pcert_st){.pubkey = own.public, .cert = read_certificate(), .type = GNUTLS_CRT_X509};
    if (fuzz_bool(&m.in)) {
        m.status = (gnutls_ocsp_data_st){.response = read_bytes()};
        for (unsigned i = fuzz_below(&m.in, 4); i > 0; i--)
            change(&m.status.response);
    }
}

static void free_chain(void)
{
    for (unsigned i = 0; i < m.count; i++)
        gnutls_free(m.chain[i].cert.data);
    gnutls_free(m.status.response.data);
}

/* What the peer shows, whatever its own credentials are. */
static int show(gnutls_session_t session, const struct gnutls_cert_retr_st *info, gnutls_pcert_st **chain,
                unsigned *count, gnutls_ocsp_data_st **status, unsigned *status_count, gnutls_privkey_t *key,
                unsigned *flags)
{
    (void)session;
    (void)info;
    *chain = m.chain;
    *count = m.count;
    *status = m.status.response.data ? &m.status : NULL;
    *status_count = m.status.response.data ? 1 : 0;
    *key = own.private;
    *flags = 0;
    return 0;
}

/* ------------------------------------------------------------------------------------------------- the handshake */

static void decide(taps_trust_question *question, void *user)
{
    (void)user;
    size_t length, shown = 0;
    while (taps_trust_question_certificate(question, shown, &length))
        shown++;
    CHECK(shown >= 1 && shown <= m.count);
    CHECK(taps_trust_question_verdict(question) != NULL);
    if (m.accepts)
        taps_trust_question_accept(question);
    else
        taps_trust_question_refuse(question, "the test refuses it");
}

static void ask_for(struct tapsi_security *s, unsigned choice)
{
    gnutls_datum_t pem = datum(own_certificate);
    const struct tapsi_test_identity id = {(char *)(uintptr_t)authority, NULL};
    tapsi_test_trust(s, &id);
    if (choice >> 2 & 1)
        s->trust = decide;
    if (choice >> 3 & 1)
        tapsi_security_add_pin(s, pem.data, pem.size);
    if (choice >> 4 & 1)
        tapsi_security_add_key_pin_text(s, "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
}

static bool begin(struct tapsi_test_pair *pair, int peer, unsigned choice)
{
    const struct tapsi_credentials *c;
    const struct tapsi_test_identity id = {(char *)(uintptr_t)own_certificate, (char *)(uintptr_t)own_key};
    if (!tapsi_test_pair_init(pair))
        return false;
    for (int side = 0; side < 2; side++) {
        tapsi_security_unref(pair->security[side]);
        pair->security[side] = tapsi_security_new(&pair->mem, TAPS_SECURITY_REQUIRED);
        tapsi_security_allow(pair->security[side], choice & 1 ? TAPS_TLS_1_3 : TAPS_TLS_1_2);
    }
    ask_for(pair->security[!peer], choice);
    tapsi_test_show(pair->security[1], true, &id);
    if (!peer) {
        tapsi_test_trust(pair->security[0], &(struct tapsi_test_identity){(char *)(uintptr_t)authority, NULL});
        tapsi_test_show(pair->security[0], false, &id);
        pair->security[1]->require_client_certificate = true;
    }
    CHECK_INT(tapsi_credentials(pair->security[peer], peer ? TAPSI_ROLE_SERVER : TAPSI_ROLE_CLIENT, TAPSI_SECURE_TLS,
                                &c, NULL),
              0);
    gnutls_certificate_set_retrieve_function3(c->own, show);
    unsigned fail = choice >> 8;
    pair->fail_at = fail ? pair->allocations + fail : 0;
    return true;
}

/* GnuTLS takes some bytes that mean the same in another way; but not another key or name. */
static bool is_what_it_was(const gnutls_datum_t *der, bool named)
{
    gnutls_x509_crt_t crt;
    unsigned char shown[32], wanted[32];
    size_t shown_size = sizeof(shown), wanted_size = sizeof(wanted);
    need(gnutls_x509_crt_init(&crt));
    bool same = gnutls_x509_crt_import(crt, der, GNUTLS_X509_FMT_DER) >= 0 &&
                gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA256, shown, &shown_size) >= 0 &&
                gnutls_pubkey_get_key_id(own.public, GNUTLS_KEYID_USE_SHA256, wanted, &wanted_size) >= 0 &&
                shown_size == wanted_size && memcmp(shown, wanted, shown_size) == 0 &&
                (!named || gnutls_x509_crt_check_hostname(crt, ASKED));
    gnutls_x509_crt_deinit(crt);
    return same;
}

static void check_words(const struct tapsi_error *error)
{
    CHECK(error->pub.code < 0 && error->text[0]);
    for (const char *c = error->text; *c; c++)
        CHECK((unsigned char)*c >= 0x20 && *c != 0x7f);
}

static void check_end(const struct tapsi_test_pair *pair, int peer, unsigned choice)
{
    const struct tapsi_test_end *judge = peer ? &pair->client : &pair->server;
    bool asked = choice >> 2 & 1;
    CHECK(judge->ready || pair->client.closed || pair->server.closed);
    if (judge->closed && !judge->ready)
        check_words(&judge->error);
    if (judge->ready)
        CHECK(asked ? m.accepts : judge->info.authenticated && is_what_it_was(&m.chain[0].cert, peer));
    CHECK(!judge->ready || !peer || !(choice >> 4 & 1) || choice >> 3 & 1); /* pins are a client's */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tapsi_test_pair pair;
    memset(&m, 0, sizeof(m));
    m.in = fuzz_input(data, size);
    fuzz_begin();
    set_up();
    unsigned choice = (unsigned)fuzz_number(&m.in, 2);
    int peer = choice >> 1 & 1 ? 0 : 1;
    m.accepts = choice >> 5 & 1;
    read_chain();
    if (begin(&pair, peer, choice) && tapsi_test_pair_open(&pair) == 0) {
        tapsi_test_pair_run(&pair);
        check_end(&pair, peer, choice);
    }
    CHECK_INT(tapsi_test_pair_done(&pair), 0);
    free_chain();
    return 0;
}
