#include "wire/redact.h"

/* A key longer than this, once it is normalised, is taken for a secret one: it cannot be compared,
   and no honest key is as long. */
#define KEY_BYTES 64u

/* Percent-encoding is undone so many times: some receivers undo it twice. */
#define DECODE_ROUNDS 3

struct copy {
    uint8_t *out;
    size_t capacity;
    size_t used;
    bool cut;
};

static void put(struct copy *copy, struct slice bytes)
{
    size_t room = copy->capacity - copy->used;
    if (copy->cut || bytes.size == 0) {
        return;
    }
    if (bytes.size > room) {
        bytes.size = room;
        copy->cut = true;
    }
    if (bytes.size > 0) {
        memcpy(copy->out + copy->used, bytes.data, bytes.size);
        copy->used += bytes.size;
    }
}

/* All of the bytes or none. */
static void put_whole(struct copy *copy, struct slice bytes)
{
    if (copy->capacity - copy->used < bytes.size) {
        copy->cut = true;
    }
    if (!copy->cut) {
        put(copy, bytes);
    }
}

/* ---- keys ---- */

static int hex_digit(uint8_t byte)
{
    byte = ascii_lower(byte);
    return (uint8_t)(byte - '0') < 10  ? byte - '0'
           : (uint8_t)(byte - 'a') < 6 ? byte - 'a' + 10
                                       : -1;
}

/* Undoes percent-encoding in place; returns the new size. */
static size_t decode(uint8_t *text, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '%' && size - i > 2) {
            int high = hex_digit(text[i + 1]);
            int low = hex_digit(text[i + 2]);
            if (high >= 0 && low >= 0) {
                text[used++] = (uint8_t)(high << 4 | low);
                i += 2;
                continue;
            }
        }
        text[used++] = text[i];
    }
    return used;
}

/* Leaves letters in lower case, and digits: "X-Api_Key", "apiKey" and "api%5Fkey" are one. */
static size_t normalise(uint8_t *text, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = ascii_lower(text[i]);
        if ((uint8_t)(byte - 'a') < 26 || (uint8_t)(byte - '0') < 10) {
            text[used++] = byte;
        }
    }
    return used;
}

/* The tables hold no pointers, so that they need no relocation. */
#define NAME_BYTES 16

static size_t name_size(const char name[NAME_BYTES])
{
    size_t size = 0;
    while (size < NAME_BYTES && name[size] != '\0') {
        size++;
    }
    return size;
}

static bool is_one_of(struct slice key, const char (*names)[NAME_BYTES], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_equals(key, slice_of(names[i], name_size(names[i])))) {
            return true;
        }
    }
    return false;
}

static bool ends_in_one_of(struct slice key, const char (*endings)[NAME_BYTES], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t size = name_size(endings[i]);
        if (key.size >= size && memcmp(key.data + key.size - size, endings[i], size) == 0) {
            return true;
        }
    }
    return false;
}

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* The conventions name X-Amz-Signature, X-Amz-Credential, X-Amz-Security-Token, sig,
   X-Goog-Signature, AWSAccessKeyId and Signature, and advise a longer list. Endings, because such
   keys are prefixed and nested freely: access_token, client_secret, user[password]. */
static bool is_secret_key(struct slice key)
{
    static const char names[][NAME_BYTES] = {
        "sig", "key", "auth", "code",   "pass", "pwd",     "pw",        "sid", "jwt",
        "otp", "pin", "hmac", "bearer", "cred", "session", "phpsessid", "psk", "samlart"};
    static const char endings[][NAME_BYTES] = {
        "token",           "tokens",        "signature",   "credential",   "credentials",
        "password",        "passwd",        "passphrase",  "passcode",     "secret",
        "secrets",         "apikey",        "accesskey",   "accesskeyid",  "secretkey",
        "privatekey",      "sharedkey",     "accountkey",  "authkey",      "sessionid",
        "sessionkey",      "authorization", "assertion",   "samlresponse", "samlrequest",
        "ticket",          "authcode",      "licensekey",  "signingkey",   "encryptionkey",
        "subscriptionkey", "oauthverifier", "codeverifier"};
    uint8_t text[KEY_BYTES * 3];
    if (key.size > sizeof(text)) {
        return true;
    }
    if (key.size == 0) {
        return false;
    }
    memcpy(text, key.data, key.size);
    size_t size = key.size;
    for (int round = 0; round < DECODE_ROUNDS; round++) {
        size = decode(text, size);
    }
    size = normalise(text, size);
    struct slice normal = slice_of(text, size);
    return size > KEY_BYTES || is_one_of(normal, names, COUNT_OF(names)) ||
           ends_in_one_of(normal, endings, COUNT_OF(endings));
}

/* ---- targets ---- */

static bool is_in(uint8_t byte, const char *set)
{
    for (; *set != '\0'; set++) {
        if ((uint8_t)*set == byte) {
            return true;
        }
    }
    return false;
}

/* The count of bytes before the first one of `set`. */
static size_t size_before(struct slice text, const char *set)
{
    size_t size = 0;
    while (size < text.size && !is_in(text.data[size], set)) {
        size++;
    }
    return size;
}

enum place {
    PLACE_AUTHORITY, /* user information is what stands before '@' */
    PLACE_SEGMENT    /* ... only if there is a colon in it: "/fetch/https:/user:word@host" */
};

/* Copies what ends before one of `ends`, without the user information in it. */
static void put_host(struct copy *copy, struct slice *rest, enum place place, const char *ends,
                     bool target_cut)
{
    size_t size = size_before(*rest, ends);
    bool is_open = size == rest->size && target_cut;
    struct slice text = slice_take(rest, size);
    size_t host = text.size;
    while (host > 0 && text.data[host - 1] != '@') {
        host--;
    }
    bool is_user = place == PLACE_AUTHORITY || size_before(text, ":") < (host > 0 ? host : size);
    if (is_user && host > 0) {
        put_whole(copy, SLICE("REDACTED:REDACTED@"));
        slice_take(&text, host);
    }
    if (is_user && is_open) {
        /* It may be user information whose '@' is missing. */
        copy->cut = true;
        return;
    }
    put(copy, text);
}

/* Copies a key and what stands for its value if that is secret; else nothing. Such a value is taken
   to last as long as it could for any receiver. */
static void put_secret_pair(struct copy *copy, struct slice *rest, bool in_query)
{
    size_t size = size_before(*rest, in_query ? "=&;?#" : "=;?#/");
    struct slice key = slice_of(rest->data, size);
    if (size == rest->size || rest->data[size] != '=' || !is_secret_key(key)) {
        return;
    }
    put(copy, slice_take(rest, size + 1));
    put_whole(copy, SLICE("REDACTED"));
    slice_take(rest, size_before(*rest, in_query ? "&" : "/?"));
}

static void put_path_and_query(struct copy *copy, struct slice rest, bool target_cut)
{
    bool in_query = false;
    while (rest.size > 0 && !copy->cut) {
        put(copy, slice_take(&rest, size_before(rest, "/?&;#")));
        if (rest.size == 0) {
            break;
        }
        uint8_t mark = rest.data[0];
        put(copy, slice_take(&rest, 1));
        if (mark == '/') {
            enum place place = PLACE_SEGMENT;
            if (rest.size > 0 && rest.data[0] == '/') {
                put(copy, slice_take(&rest, 1));
                place = PLACE_AUTHORITY;
            }
            put_host(copy, &rest, place, "/?&;#", target_cut);
            continue;
        }
        in_query = in_query || mark == '?' || mark == '#';
        put_secret_pair(copy, &rest, in_query);
    }
}

size_t redact_target(struct slice target, bool target_cut, uint8_t *out, size_t capacity, bool *cut)
{
    struct copy copy = {.out = out, .capacity = capacity};
    /* The asterisk form is short enough to be a path. */
    if (target.size > 0 && target.data[0] != '/' && target.data[0] != '*') {
        size_t scheme = size_before(target, ":/?#@");
        struct slice behind = slice_of(target.data + scheme, target.size - scheme);
        if (slice_starts_with(behind, SLICE("://"))) {
            put(&copy, slice_take(&target, scheme + 3));
        }
        put_host(&copy, &target, PLACE_AUTHORITY, "/?#", target_cut);
    }
    put_path_and_query(&copy, target, target_cut);
    *cut = copy.cut || target_cut;
    return copy.used;
}
