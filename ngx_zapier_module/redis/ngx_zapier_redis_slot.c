
/*
 * Keys to slots: CRC16 (XMODEM) of the hash tag, modulo 16384.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_redis_slot.h>


static ngx_uint_t ngx_zapier_redis_crc16(u_char *p, size_t len);
static ngx_uint_t ngx_zapier_redis_command_is(ngx_str_t *name,
    const char *text);


ngx_uint_t
ngx_zapier_redis_key_slot(ngx_str_t *key)
{
    u_char  *p, *end, *last;

    last = key->data + key->len;

    p = ngx_strlchr(key->data, last, '{');

    if (p != NULL) {
        end = ngx_strlchr(p + 1, last, '}');

        if (end != NULL && end != p + 1) {
            return ngx_zapier_redis_crc16(p + 1, end - p - 1)
                   % NGX_ZAPIER_REDIS_SLOTS;
        }
    }

    return ngx_zapier_redis_crc16(key->data, key->len)
           % NGX_ZAPIER_REDIS_SLOTS;
}


/* Bit by bit: keys are short, and a table would not stay in the cache. */

static ngx_uint_t
ngx_zapier_redis_crc16(u_char *p, size_t len)
{
    uint32_t    crc;
    ngx_uint_t  bit;

    crc = 0;

    while (len--) {
        crc ^= (uint32_t) *p++ << 8;

        for (bit = 0; bit < 8; bit++) {
            crc = (crc & 0x8000) ? (crc << 1) ^ 0x1021 : crc << 1;
        }

        crc &= 0xffff;
    }

    return crc;
}


ngx_str_t *
ngx_zapier_redis_command_key(ngx_uint_t argc, ngx_str_t *argv)
{
    if (ngx_zapier_redis_command_is(&argv[0], "EVALSHA")
        || ngx_zapier_redis_command_is(&argv[0], "EVAL"))
    {
        return (argc > 3 && argv[2].len != 0 && argv[2].data[0] != '0')
               ? &argv[3] : NULL;
    }

    if (argc < 2
        || ngx_zapier_redis_command_is(&argv[0], "PUBLISH")
        || ngx_zapier_redis_command_is(&argv[0], "SCAN"))
    {
        return NULL;
    }

    return &argv[1];
}


static ngx_uint_t
ngx_zapier_redis_command_is(ngx_str_t *name, const char *text)
{
    return name->len == ngx_strlen(text)
           && ngx_strncmp(name->data, text, name->len) == 0;
}
