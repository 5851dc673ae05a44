/* What the options make of security parameters. Files are looked at before use, so that the one at fault is named.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "certificate.h"
#include "complain.h"
#include "options.h"

enum { FILE_MAX = 1024 * 1024, PSK_MAX = 256, PASSWORD_MAX = 1024 };

/* ------------------------------------------------------------------------------------------------------------ files */

/* What the system says of the file, if that is it. */
static bool is_unreadable(const char *option, const char *path)
{
    FILE *file = fopen(path, "re");
    bool readable = file && fgetc(file) != EOF;

    if (!readable)
        complain_usage("%s '%s': %s", option, path, !file || ferror(file) ? strerror(errno) : "the file is empty");
    if (file)
        fclose(file);
    return !readable;
}

/* All of a file of text: owned, with a zero behind it. */
static int read_text(const char *option, const char *path, char **ret_text, size_t *ret_length)
{
    FILE *file;
    char *text;
    int code = DONE;

    if (is_unreadable(option, path))
        return USAGE;
    file = fopen(path, "re");
    text = malloc(FILE_MAX + 1);
    if (!file || !text) {
        code = complain_code("read a file", text ? TAPS_E_SYSTEM : TAPS_E_MEMORY);
    } else {
        *ret_length = fread(text, 1, FILE_MAX, file);
        text[*ret_length] = '\0';
        if (ferror(file))
            code = complain_usage("%s '%s': %s", option, path, strerror(errno));
        else if (*ret_length == FILE_MAX)
            code = complain_usage("%s '%s' is too long: it may have 1 MiB", option, path);
    }
    if (file)
        fclose(file);
    if (code == DONE)
        *ret_text = text;
    else
        free(text);
    return code;
}

/* Keys and passwords do not stay in memory that is given back. */
static void wipe_text(char *text, size_t length)
{
    if (text)
        explicit_bzero(text, length);
    free(text);
}

static bool is_uri(const char *text)
{
    return strncasecmp(text, "pkcs11:", 7) == 0;
}

/* A PEM file with certificates, named by an option. */
static int check_pem(const char *option, const char *path)
{
    if (is_unreadable(option, path))
        return USAGE;
    int native = certificate_check_authorities(path);
    if (native < 0)
        return complain_usage("%s '%s' holds no certificate in PEM: %s", option, path, gnutls_strerror(native));
    return DONE;
}

/* ------------------------------------------------------------------------------------------------------------ trust */

static int add_ca_file(const struct options *options, taps_security_parameters *security)
{
    if (!options->cafile)
        return DONE;
    int code = check_pem("--cafile", options->cafile);
    if (code)
        return code;
    int error = taps_security_parameters_add_ca_file(security, options->cafile);
    return error < 0 ? complain_code("use the file of --cafile", error) : DONE;
}

static int add_pin_file(const char *path, taps_security_parameters *security)
{
    char *text = NULL;
    size_t length = 0;
    int error, code = check_pem("--pin", path);

    if (code == DONE)
        code = read_text("--pin", path, &text, &length);
    if (code)
        return code;
    error = taps_security_parameters_pin_server_certificate(security, text, length);
    free(text);
    return error < 0 ? complain_code("use the file of --pin", error) : DONE;
}

static int add_pins(const struct options *options, taps_security_parameters *security)
{
    int code = DONE;

    for (size_t i = 0; i < options->pins.count && code == DONE; i++) {
        const char *pin = options->pins.items[i];

        if (strncmp(pin, "sha256//", 8) != 0) {
            code = add_pin_file(pin, security);
        } else {
            int error = taps_security_parameters_pin_server_key(security, pin);

            if (error == TAPS_E_RANGE)
                return complain_usage("--pin '%s' is not sha256// and the 44 characters of a SHA-256 in base64; "
                                      "`taps probe` shows it",
                                      pin);
            code = error < 0 ? complain_code("use --pin", error) : DONE;
        }
    }
    return code;
}

/* ------------------------------------------------------------------------------------------------- own certificates */

/* The first line of the file. It goes to the library, and to the check of the pair. */
static int read_password(const struct options *options, taps_security_parameters *security, char *password)
{
    char *text = NULL;
    size_t length = 0, line;
    int error = 0, code;

    password[0] = '\0';
    if (!options->password_file)
        return DONE;
    code = read_text("--password-file", options->password_file, &text, &length);
    if (code)
        return code;
    line = strcspn(text, "\r\n");
    if (line == 0 || line >= PASSWORD_MAX || line > strlen(text)) {
        code = complain_usage("the first line of --password-file '%s' is no password of 1 to %d bytes",
                              options->password_file, PASSWORD_MAX - 1);
    } else {
        memcpy(password, text, line);
        password[line] = '\0';
        error = taps_security_parameters_set_key_password(security, password);
    }
    wipe_text(text, length);
    return error < 0 ? complain_code("use the password of --password-file", error) : code;
}

struct pair {
    const char *cert_option, *key_option;
    const char *cert, *key;
};

static struct pair pair_of(const struct options *options)
{
    if (options->client_cert)
        return (struct pair){"--client-cert", "--client-key", options->client_cert, options->client_key};
    return (struct pair){"--cert", "--key", options->cert, options->key};
}

/* Where one of the two is in a token, only the library looks. */
static int check_pair(const struct pair *pair, const char *password)
{
    int native;

    if ((!is_uri(pair->cert) && is_unreadable(pair->cert_option, pair->cert)) ||
        (!is_uri(pair->key) && is_unreadable(pair->key_option, pair->key)))
        return USAGE;
    if (is_uri(pair->cert) || is_uri(pair->key))
        return DONE;
    native = certificate_check_pair(pair->cert, pair->key, *password ? password : NULL);
    if (native == GNUTLS_E_DECRYPTION_FAILED)
        return complain_usage("%s '%s' is encrypted, and %s", pair->key_option, pair->key,
                              *password ? "--password-file has another password"
                                        : "needs its password: --password-file FILE");
    if (native < 0)
        return complain_usage("%s '%s' and %s '%s' are no certificate and its key in PEM: %s", pair->cert_option,
                              pair->cert, pair->key_option, pair->key, gnutls_strerror(native));
    return DONE;
}

static int add_certificate(const struct options *options, bool listening, taps_security_parameters *security)
{
    const struct pair pair = pair_of(options);
    char password[PASSWORD_MAX];
    int error, code;

    if (!pair.cert)
        return DONE;
    code = read_password(options, security, password);
    if (code == DONE)
        code = check_pair(&pair, password);
    explicit_bzero(password, sizeof password);
    if (code)
        return code;
    error = listening ? taps_security_parameters_add_server_certificate(security, pair.cert, pair.key)
                      : taps_security_parameters_add_client_certificate(security, pair.cert, pair.key);
    if (error == TAPS_E_RANGE)
        return complain_usage("%s '%s' and %s '%s' cannot be used", pair.cert_option, pair.cert, pair.key_option,
                              pair.key);
    return error < 0 ? complain_code("use the certificate and its key", error) : DONE;
}

/* ------------------------------------------------------------------------------------------------- pre-shared keys */

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

/* The number of bytes; 0: that is no key. */
static size_t parse_hex(const char *text, size_t length, unsigned char *bytes)
{
    if (length % 2 || length > 2 * (size_t)PSK_MAX)
        return 0;
    for (size_t i = 0; i < length; i += 2) {
        int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);

        if (high < 0 || low < 0)
            return 0;
        bytes[i / 2] = (unsigned char)(high << 4 | low);
    }
    return length / 2;
}

/* "IDENTITY:HEXKEY": the key has no colon. What is wrong is said without it. */
static int add_psk(const char *text, size_t length, const char *where, taps_security_parameters *security)
{
    const char *colon = memrchr(text, ':', length);
    size_t name = colon ? (size_t)(colon - text) : 0, bytes;
    unsigned char key[PSK_MAX];
    char identity[129];
    int error;

    if (name == 0 || name >= sizeof identity)
        return complain_usage("%s is not IDENTITY:HEXKEY, with an identity of 1 to 128 bytes", where);
    snprintf(identity, sizeof identity, "%.*s", (int)name, text);
    bytes = parse_hex(colon + 1, length - name - 1, key);
    if (bytes < 16)
        return complain_usage("%s: the key of '%s' is not 32 to %d hexadecimal digits (16 to %d bytes)", where,
                              identity, 2 * PSK_MAX, PSK_MAX);
    error = taps_security_parameters_add_pre_shared_key(security, identity, key, bytes);
    explicit_bzero(key, sizeof key);
    return error < 0 ? complain_usage("%s: the key of '%s' cannot be used: %s", where, identity, taps_err_text(error))
                     : DONE;
}

/* One key a line; empty lines and those with # are left out. */
static int add_psk_file(const char *path, taps_security_parameters *security)
{
    char *text = NULL, where[400];
    size_t length = 0, line = 1, found = 0;
    int code = read_text("--psk", path, &text, &length);

    if (code)
        return code;
    for (const char *at = text; *at && code == DONE; line++) {
        size_t end = strcspn(at, "\n"), used = end > 0 && at[end - 1] == '\r' ? end - 1 : end;

        if (used > 0 && *at != '#') {
            snprintf(where, sizeof where, "--psk '@%s', line %zu", path, line);
            code = add_psk(at, used, where, security);
            found++;
        }
        at += end + (at[end] == '\n');
    }
    wipe_text(text, length);
    return code == DONE && found == 0 ? complain_usage("--psk '@%s' holds no IDENTITY:HEXKEY", path) : code;
}

static int add_psks(const struct options *options, taps_security_parameters *security)
{
    int code = DONE;

    for (size_t i = 0; i < options->psks.count && code == DONE; i++) {
        const char *psk = options->psks.items[i];

        code = *psk == '@' ? add_psk_file(psk + 1, security) : add_psk(psk, strlen(psk), "--psk", security);
    }
    return code;
}

/* ------------------------------------------------------------------------------------------------------------ names */

static int add_alpn(const struct options *options, taps_security_parameters *security)
{
    for (size_t i = 0; i < options->alpn.count; i++) {
        const char *at = options->alpn.items[i];

        for (;;) {
            size_t length = strcspn(at, ",");
            char name[256];

            if (length == 0 || length > 255)
                return complain_usage("--alpn takes names of 1 to 255 bytes with commas between, not '%s'",
                                      options->alpn.items[i]);
            snprintf(name, sizeof name, "%.*s", (int)length, at);
            if (taps_security_parameters_add_alpn(security, name) < 0)
                return complain_usage("--alpn cannot take '%s'", name);
            if (!at[length])
                break;
            at += length + 1;
        }
    }
    return DONE;
}

static int set_names(const struct options *options, taps_security_parameters *security)
{
    int error;

    if (options->protocols) {
        error = *options->protocols
                    ? taps_security_parameters_set(security, "allowedSecurityProtocols", options->protocols)
                    : TAPS_E_RANGE;
        if (error < 0)
            return complain_usage("--security-protocol takes tls1.3, tls1.2, dtls1.2 and quic with commas between, "
                                  "not '%s'",
                                  options->protocols);
    }
    if (options->min_version) {
        error = taps_security_parameters_set_minimum_version(security, options->min_version);
        if (error < 0)
            return complain_usage("--min-version: %s", taps_err_text(error));
    }
    if (options->server_name) {
        error = taps_security_parameters_set_server_name(security, options->server_name);
        if (error < 0)
            return complain_usage("--server-name cannot be '%s': %s", options->server_name, taps_err_text(error));
    }
    return add_alpn(options, security);
}

/* Made here, with nobody else allowed to read it, so that what is wrong with it is told. */
static int set_key_log(const struct options *options, taps_security_parameters *security)
{
    const char *path = options->key_log;
    int fd, error;

    if (!path)
        return DONE;
    fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return complain_usage("--keylog '%s': %s", path, strerror(errno));
    close(fd);
    error = taps_security_parameters_set_key_log_file(security, path);
    return error < 0 ? complain_code("use the file of --keylog", error) : DONE;
}

static int secure(const struct options *options, bool listening, taps_security_parameters *security)
{
    int code = add_ca_file(options, security);

    if (code == DONE)
        code = add_pins(options, security);
    if (code == DONE)
        code = set_names(options, security);
    if (code == DONE)
        code = add_certificate(options, listening, security);
    if (code == DONE)
        code = add_psks(options, security);
    return code == DONE ? set_key_log(options, security) : code;
}

/* ----------------------------------------------------------------------------------------------------------- checks */

static const char *first_of_security(const struct options *options)
{
    return options->cafile          ? "--cafile"
           : options->pins.count    ? "--pin"
           : options->cert          ? "--cert"
           : options->client_cert   ? "--client-cert"
           : options->psks.count    ? "--psk"
           : options->alpn.count    ? "--alpn"
           : options->server_name   ? "--server-name"
           : options->min_version   ? "--min-version"
           : options->protocols     ? "--security-protocol"
           : options->key_log       ? "--keylog"
           : options->session_file  ? "--session-file"
           : options->password_file ? "--password-file"
                                    : NULL;
}

static int check_pairs(const struct options *options, bool listening)
{
    if (!options->cert != !options->key)
        return complain_usage("--cert and --key belong together: a certificate is no use without its private key");
    if (!options->client_cert != !options->client_key)
        return complain_usage("--client-cert and --client-key belong together: a certificate is no use without its "
                              "private key");
    if (options->client_cert && listening)
        return complain_usage("--client-cert is of those that connect: a listener has --cert FILE --key FILE");
    if (options->client_cert && options->cert)
        return complain_usage("--client-cert and --cert are the same when connecting: drop one of the two");
    if (options->password_file && !options->key && !options->client_key)
        return complain_usage("--password-file is the password of a key, and there is none: --key FILE");
    return DONE;
}

/* What contradicts itself is said before anything is opened. */
static int check_security(const struct options *options, bool listening)
{
    const char *useless = first_of_security(options);
    int code = check_pairs(options, listening);

    if (code)
        return code;
    if (options->mode == TAPS_SECURITY_DISABLED && useless)
        return complain_usage("%s has no meaning with --security disabled: drop one of the two", useless);
    if (listening && options->session_file)
        return complain_usage("--session-file is of those that connect: a listener keeps no sessions");
    if (listening && options->pins.count)
        return complain_usage("--pin is of those that connect: it pins the certificate of a server");
    if (listening && options->mode == TAPS_SECURITY_REQUIRED && !options->cert && !options->psks.count) {
        complain("a secure listener needs a certificate, and none was given");
        complain_hint("Either name one: --cert FILE --key FILE (or a key that both ends have: --psk IDENTITY:HEXKEY)");
        complain_hint("or listen without security, for everybody to read along: --security disabled");
        return USAGE;
    }
    return DONE;
}

int options_security(const struct options *options, bool listening, taps_security_parameters **ret_security)
{
    taps_security_parameters *security = NULL;
    int error, code = check_security(options, listening);

    if (code)
        return code;
    if (options->mode == TAPS_SECURITY_DISABLED)
        error = taps_security_parameters_new_disabled(&security);
    else if (options->mode == TAPS_SECURITY_OPPORTUNISTIC)
        error = taps_security_parameters_new_opportunistic(&security);
    else
        error = taps_security_parameters_new(&security);
    if (error < 0)
        return complain_code("make security parameters", error);
    if (options->mode != TAPS_SECURITY_DISABLED)
        code = secure(options, listening, security);
    if (code == DONE)
        *ret_security = security;
    else
        taps_security_parameters_free(security);
    return code;
}
