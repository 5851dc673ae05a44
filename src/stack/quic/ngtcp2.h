/*
 * ngtcp2, of which two generations are in use: 0.12.1 (Debian 12, Ubuntu 24.04) and 1.x. Everything else in this folder
 * is written against the names of 1.x; here they are made of those of 0.12.
 */
#ifndef TAPSI_STACK_QUIC_NGTCP2_H
#define TAPSI_STACK_QUIC_NGTCP2_H

#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>
#include <ngtcp2/ngtcp2_crypto_gnutls.h>

#define QUIC_NGTCP2_1 (NGTCP2_VERSION_NUM >= 0x010000)

/* Aborts when it is to retire a connection ID for the second time (scrub.c). */
#define QUIC_RETIRES_ONCE (NGTCP2_VERSION_NUM < 0x010400)

#if !QUIC_NGTCP2_1

typedef ngtcp2_crypto_level ngtcp2_encryption_level;
typedef ngtcp2_connection_close_error ngtcp2_ccerr;
typedef ngtcp2_conn_stat ngtcp2_conn_info;

#define NGTCP2_CCERR_TYPE_TRANSPORT           NGTCP2_CONNECTION_CLOSE_ERROR_CODE_TYPE_TRANSPORT
#define NGTCP2_CCERR_TYPE_APPLICATION         NGTCP2_CONNECTION_CLOSE_ERROR_CODE_TYPE_APPLICATION
#define NGTCP2_CCERR_TYPE_VERSION_NEGOTIATION NGTCP2_CONNECTION_CLOSE_ERROR_CODE_TYPE_TRANSPORT_VERSION_NEGOTIATION
#define NGTCP2_CCERR_TYPE_IDLE_CLOSE          NGTCP2_CONNECTION_CLOSE_ERROR_CODE_TYPE_TRANSPORT_IDLE_CLOSE
#define NGTCP2_STREAM_DATA_FLAG_0RTT          NGTCP2_STREAM_DATA_FLAG_EARLY
#define NGTCP2_DATAGRAM_FLAG_0RTT             NGTCP2_DATAGRAM_FLAG_EARLY

#define ngtcp2_ccerr_default                    ngtcp2_connection_close_error_default
#define ngtcp2_ccerr_set_transport_error        ngtcp2_connection_close_error_set_transport_error
#define ngtcp2_ccerr_set_liberr                 ngtcp2_connection_close_error_set_transport_error_liberr
#define ngtcp2_ccerr_set_tls_alert              ngtcp2_connection_close_error_set_transport_error_tls_alert
#define ngtcp2_ccerr_set_application_error      ngtcp2_connection_close_error_set_application_error
#define ngtcp2_conn_in_closing_period           ngtcp2_conn_is_in_closing_period
#define ngtcp2_conn_in_draining_period          ngtcp2_conn_is_in_draining_period
#define ngtcp2_conn_get_conn_info               ngtcp2_conn_get_conn_stat
#define ngtcp2_conn_tls_early_data_rejected     ngtcp2_conn_early_data_rejected
#define ngtcp2_conn_get_tls_early_data_rejected ngtcp2_conn_get_early_data_rejected

/* A name in brackets is not the macro. */
#define ngtcp2_conn_shutdown_stream(conn, flags, id, code)       (ngtcp2_conn_shutdown_stream)(conn, id, code)
#define ngtcp2_conn_shutdown_stream_read(conn, flags, id, code)  (ngtcp2_conn_shutdown_stream_read)(conn, id, code)
#define ngtcp2_conn_shutdown_stream_write(conn, flags, id, code) (ngtcp2_conn_shutdown_stream_write)(conn, id, code)

#endif

/* Where the two differ in shape. */

static inline ngtcp2_ccerr tapsi_ngtcp2_ccerr(ngtcp2_conn *conn)
{
#if QUIC_NGTCP2_1
    return *ngtcp2_conn_get_ccerr(conn);
#else
    ngtcp2_ccerr ret;
    ngtcp2_conn_get_connection_close_error(conn, &ret);
    return ret;
#endif
}

static inline const uint8_t *tapsi_ngtcp2_token(const ngtcp2_pkt_hd *hd, size_t *ret_length)
{
#if QUIC_NGTCP2_1
    *ret_length = hd->tokenlen;
    return hd->token;
#else
    *ret_length = hd->token.len;
    return hd->token.base;
#endif
}

/* Borrowed until the connection is made. `retry`: it is of Retry, else of NEW_TOKEN. */
static inline void tapsi_ngtcp2_set_token(ngtcp2_settings *settings, const uint8_t *token, size_t length, bool retry)
{
#if QUIC_NGTCP2_1
    settings->token = token;
    settings->tokenlen = length;
    settings->token_type = retry ? NGTCP2_TOKEN_TYPE_RETRY : NGTCP2_TOKEN_TYPE_NEW_TOKEN;
#else
    (void)retry;
    settings->token = (ngtcp2_vec){(uint8_t *)(uintptr_t)token, length};
#endif
}

/* The remembered parameters of a server are kept as they go over the wire in a ClientHello: so each version, and each
   process, reads what another has written. Negative: an error. */
static inline ngtcp2_ssize tapsi_ngtcp2_encode_params(uint8_t *to, size_t room, const ngtcp2_transport_params *params)
{
#if QUIC_NGTCP2_1
    ngtcp2_transport_params all = *params;
    all.initial_scid_present = 1; /* 0.12 reads nothing without it */
    return ngtcp2_transport_params_encode(to, room, &all);
#else
    return ngtcp2_encode_transport_params(to, room, NGTCP2_TRANSPORT_PARAMS_TYPE_CLIENT_HELLO, params);
#endif
}

static inline int tapsi_ngtcp2_decode_params(ngtcp2_transport_params *params, const uint8_t *data, size_t length)
{
#if QUIC_NGTCP2_1
    return ngtcp2_transport_params_decode(params, data, length);
#else
    return ngtcp2_decode_transport_params(params, NGTCP2_TRANSPORT_PARAMS_TYPE_CLIENT_HELLO, data, length);
#endif
}

/* To be filled in: it is sent. */
static inline ngtcp2_preferred_addr *tapsi_ngtcp2_preferred(ngtcp2_transport_params *params)
{
#if QUIC_NGTCP2_1
    params->preferred_addr_present = 1;
    return &params->preferred_addr;
#else
    params->preferred_address_present = 1;
    return &params->preferred_address;
#endif
}

/* Bytes in a second. 1.x does not tell: `unknown`. */
static inline uint64_t tapsi_ngtcp2_delivery_rate(const ngtcp2_conn_info *info, uint64_t unknown)
{
#if QUIC_NGTCP2_1
    (void)info;
    return unknown;
#else
    (void)unknown;
    return info->delivery_rate_sec;
#endif
}

static inline void tapsi_ngtcp2_set_original_dcid(ngtcp2_transport_params *params, const ngtcp2_cid *cid)
{
    params->original_dcid = *cid;
#if QUIC_NGTCP2_1
    params->original_dcid_present = 1;
#endif
}

#endif
