#include "api/security_file.h"

static int new_parameters(enum taps_security_mode mode, taps_security_parameters **ret_parameters)
{
    if (!ret_parameters)
        return TAPS_E_ARGUMENT;
    struct tapsi_security *s = tapsi_security_new(tapsi_mem_default(), mode);
    if (!s)
        return TAPS_E_MEMORY;
    *ret_parameters = tapsi_security_public(s);
    return 0;
}

int taps_security_parameters_new(taps_security_parameters **ret_parameters)
{
    return new_parameters(TAPS_SECURITY_REQUIRED, ret_parameters);
}

int taps_security_parameters_new_disabled(taps_security_parameters **ret_parameters)
{
    return new_parameters(TAPS_SECURITY_DISABLED, ret_parameters);
}

int taps_security_parameters_new_opportunistic(taps_security_parameters **ret_parameters)
{
    return new_parameters(TAPS_SECURITY_OPPORTUNISTIC, ret_parameters);
}

int taps_security_parameters_copy(const taps_security_parameters *parameters, taps_security_parameters **ret_parameters)
{
    if (!parameters || !ret_parameters)
        return TAPS_E_ARGUMENT;
    struct tapsi_security *copy = tapsi_security_copy(tapsi_security_of_const(parameters), tapsi_mem_default());
    if (!copy)
        return TAPS_E_MEMORY;
    *ret_parameters = tapsi_security_public(copy);
    return 0;
}

void taps_security_parameters_free(taps_security_parameters *parameters)
{
    tapsi_security_unref(tapsi_security_of(parameters));
}

/* No parameters at all are the secure defaults, everywhere in the library. */
enum taps_security_mode taps_security_parameters_mode(const taps_security_parameters *parameters)
{
    return parameters ? tapsi_security_of_const(parameters)->mode : TAPS_SECURITY_REQUIRED;
}

/* ------------------------------------------------------------------------------------------- certificates */

int taps_security_parameters_add_ca_file(taps_security_parameters *parameters, const char *path)
{
    if (!parameters || !path)
        return TAPS_E_ARGUMENT;
    return tapsi_security_add_file(tapsi_security_of(parameters), path, tapsi_security_add_authority);
}

int taps_security_parameters_add_ca_pem(taps_security_parameters *parameters, const void *pem, size_t length)
{
    if (!parameters || !pem)
        return TAPS_E_ARGUMENT;
    return tapsi_security_add_authority(tapsi_security_of(parameters), pem, length);
}

int taps_security_parameters_pin_server_certificate(taps_security_parameters *parameters, const void *pem,
                                                    size_t length)
{
    if (!parameters || !pem)
        return TAPS_E_ARGUMENT;
    return tapsi_security_add_pin(tapsi_security_of(parameters), pem, length);
}

int taps_security_parameters_add_server_certificate(taps_security_parameters *parameters, const char *certificate_path,
                                                    const char *key_path)
{
    if (!parameters || !certificate_path || !key_path)
        return TAPS_E_ARGUMENT;
    return tapsi_security_add_files(tapsi_security_of(parameters), certificate_path, key_path,
                                    tapsi_security_add_server);
}

int taps_security_parameters_add_server_certificate_pem(taps_security_parameters *parameters, const void *certificate,
                                                        size_t certificate_length, const void *key, size_t key_length)
{
    if (!parameters || !certificate || !key)
        return TAPS_E_ARGUMENT;
    return tapsi_security_add_server(tapsi_security_of(parameters), certificate, certificate_length, key, key_length);
}

int taps_security_parameters_add_client_certificate(taps_security_parameters *parameters, const char *certificate_path,
                                                    const char *key_path)
{
    if (!parameters || !certificate_path || !key_path)
        return TAPS_E_ARGUMENT;
    return tapsi_security_add_files(tapsi_security_of(parameters), certificate_path, key_path,
                                    tapsi_security_add_client);
}

int taps_security_parameters_add_client_certificate_pem(taps_security_parameters *parameters, const void *certificate,
                                                        size_t certificate_length, const void *key, size_t key_length)
{
    if (!parameters || !certificate || !key)
        return TAPS_E_ARGUMENT;
    return tapsi_security_add_client(tapsi_security_of(parameters), certificate, certificate_length, key, key_length);
}

int taps_security_parameters_set_key_password(taps_security_parameters *parameters, const char *password)
{
    return parameters ? tapsi_security_set_password(tapsi_security_of(parameters), password) : TAPS_E_ARGUMENT;
}

int taps_security_parameters_add_server_signer(taps_security_parameters *parameters, const void *certificate,
                                               size_t length, taps_sign_fn fn, void *user)
{
    if (!parameters || !certificate || !fn)
        return TAPS_E_ARGUMENT;
    return tapsi_security_add_signer(tapsi_security_of(parameters), true, certificate, length, fn, user);
}

int taps_security_parameters_add_client_signer(taps_security_parameters *parameters, const void *certificate,
                                               size_t length, taps_sign_fn fn, void *user)
{
    if (!parameters || !certificate || !fn)
        return TAPS_E_ARGUMENT;
    return tapsi_security_add_signer(tapsi_security_of(parameters), false, certificate, length, fn, user);
}

int taps_security_parameters_add_server_slow_signer(taps_security_parameters *parameters, const void *certificate,
                                                    size_t length, taps_sign_fn fn, void *user)
{
    if (!parameters || !certificate || !fn)
        return TAPS_E_ARGUMENT;
    return tapsi_security_add_slow_signer(tapsi_security_of(parameters), true, certificate, length, fn, user);
}

int taps_security_parameters_add_client_slow_signer(taps_security_parameters *parameters, const void *certificate,
                                                    size_t length, taps_sign_fn fn, void *user)
{
    if (!parameters || !certificate || !fn)
        return TAPS_E_ARGUMENT;
    return tapsi_security_add_slow_signer(tapsi_security_of(parameters), false, certificate, length, fn, user);
}

int taps_security_parameters_add_status_file(taps_security_parameters *parameters, const char *path)
{
    if (!parameters || !path)
        return TAPS_E_ARGUMENT;
    return tapsi_security_add_file(tapsi_security_of(parameters), path, tapsi_security_add_staple);
}

int taps_security_parameters_add_status(taps_security_parameters *parameters, const void *response, size_t length)
{
    if (!parameters || !response)
        return TAPS_E_ARGUMENT;
    return tapsi_security_add_staple(tapsi_security_of(parameters), response, length);
}

/* ----------------------------------------------------------------------------------------------------- keys */

int taps_security_parameters_pin_server_key(taps_security_parameters *parameters, const char *pin)
{
    return parameters && pin ? tapsi_security_add_key_pin_text(tapsi_security_of(parameters), pin) : TAPS_E_ARGUMENT;
}

int taps_security_parameters_pin_server_key_hash(taps_security_parameters *parameters, const uint8_t hash[32])
{
    return parameters && hash ? tapsi_security_add_key_pin(tapsi_security_of(parameters), hash) : TAPS_E_ARGUMENT;
}

int taps_security_parameters_add_pre_shared_key(taps_security_parameters *parameters, const char *identity,
                                                const void *key, size_t length)
{
    if (!parameters || !identity || !key)
        return TAPS_E_ARGUMENT;
    return tapsi_security_add_psk(tapsi_security_of(parameters), identity, key, length);
}

int taps_security_parameters_set_key_log_file(taps_security_parameters *parameters, const char *path)
{
    return parameters ? tapsi_security_set_key_log(tapsi_security_of(parameters), path) : TAPS_E_ARGUMENT;
}

int taps_security_parameters_set_trust_callback(taps_security_parameters *parameters, taps_trust_fn fn, void *user)
{
    if (!parameters)
        return TAPS_E_ARGUMENT;
    tapsi_security_of(parameters)->trust = fn;
    tapsi_security_of(parameters)->trust_user = user;
    return 0;
}

/* ---------------------------------------------------------------------------------------------------- names */

int taps_security_parameters_add_alpn(taps_security_parameters *parameters, const char *protocol)
{
    return parameters && protocol ? tapsi_security_add_alpn(tapsi_security_of(parameters), protocol) : TAPS_E_ARGUMENT;
}

int taps_security_parameters_allow_protocol(taps_security_parameters *parameters, enum taps_security_protocol protocol)
{
    return parameters ? tapsi_security_allow(tapsi_security_of(parameters), protocol) : TAPS_E_ARGUMENT;
}

int taps_security_parameters_set_minimum_version(taps_security_parameters *parameters,
                                                 enum taps_security_protocol protocol)
{
    return parameters ? tapsi_security_set_minimum(tapsi_security_of(parameters), protocol) : TAPS_E_ARGUMENT;
}

int taps_security_parameters_set_server_name(taps_security_parameters *parameters, const char *name)
{
    return parameters && name ? tapsi_security_set_server_name(tapsi_security_of(parameters), name) : TAPS_E_ARGUMENT;
}

int taps_security_parameters_require_client_certificate(taps_security_parameters *parameters, bool required)
{
    if (!parameters)
        return TAPS_E_ARGUMENT;
    tapsi_security_of(parameters)->require_client_certificate = required;
    return 0;
}

int taps_security_parameters_set_max_cached_sessions(taps_security_parameters *parameters, uint64_t count)
{
    return parameters ? tapsi_security_set_max_cached(tapsi_security_of(parameters), count) : TAPS_E_ARGUMENT;
}

int taps_security_parameters_set_cached_session_lifetime(taps_security_parameters *parameters, uint64_t seconds)
{
    return parameters ? tapsi_security_set_cached_lifetime(tapsi_security_of(parameters), seconds) : TAPS_E_ARGUMENT;
}

int taps_security_parameters_add_group(taps_security_parameters *parameters, const char *name)
{
    return parameters && name ? tapsi_security_add_group(tapsi_security_of(parameters), name) : TAPS_E_ARGUMENT;
}

int taps_security_parameters_add_ciphersuite(taps_security_parameters *parameters, const char *name)
{
    return parameters && name ? tapsi_security_add_ciphersuite(tapsi_security_of(parameters), name) : TAPS_E_ARGUMENT;
}

int taps_security_parameters_add_signature_algorithm(taps_security_parameters *parameters, const char *name)
{
    return parameters && name ? tapsi_security_add_signature(tapsi_security_of(parameters), name) : TAPS_E_ARGUMENT;
}
