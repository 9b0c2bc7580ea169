#include "wire/redact.h"

#include "base/compiler.h"
#include "wire/hex.h"
#include "wire/scan.h"

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

/* Letters in lower case and digits as they are, everything else 0: "X-Api_Key", "apiKey" and
   "api%5Fkey" are one. */
static const uint8_t normal_bytes[256] = {
    ['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4', ['5'] = '5', ['6'] = '6',
    ['7'] = '7', ['8'] = '8', ['9'] = '9', ['A'] = 'a', ['B'] = 'b', ['C'] = 'c', ['D'] = 'd',
    ['E'] = 'e', ['F'] = 'f', ['G'] = 'g', ['H'] = 'h', ['I'] = 'i', ['J'] = 'j', ['K'] = 'k',
    ['L'] = 'l', ['M'] = 'm', ['N'] = 'n', ['O'] = 'o', ['P'] = 'p', ['Q'] = 'q', ['R'] = 'r',
    ['S'] = 's', ['T'] = 't', ['U'] = 'u', ['V'] = 'v', ['W'] = 'w', ['X'] = 'x', ['Y'] = 'y',
    ['Z'] = 'z', ['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd', ['e'] = 'e', ['f'] = 'f',
    ['g'] = 'g', ['h'] = 'h', ['i'] = 'i', ['j'] = 'j', ['k'] = 'k', ['l'] = 'l', ['m'] = 'm',
    ['n'] = 'n', ['o'] = 'o', ['p'] = 'p', ['q'] = 'q', ['r'] = 'r', ['s'] = 's', ['t'] = 't',
    ['u'] = 'u', ['v'] = 'v', ['w'] = 'w', ['x'] = 'x', ['y'] = 'y', ['z'] = 'z',
};

/* Appends what is left of `key`. */
static inline size_t normalise(struct slice key, uint8_t *text)
{
    size_t used = 0;
    for (size_t i = 0; i < key.size; i++) {
        text[used] = normal_bytes[key.data[i]];
        used += text[used] != 0;
    }
    return used;
}

#define WORD_BYTES 16u

/* The tables hold no pointers, so that they need no relocation. */
struct word {
    uint8_t size;
    bool is_whole; /* the whole key, not only its end */
    char text[WORD_BYTES + 1];
};

#define WHOLE(text)                                                                                \
    {                                                                                              \
        sizeof(text) - 1, true, text                                                               \
    }
#define ENDING(text)                                                                               \
    {                                                                                              \
        sizeof(text) - 1, false, text                                                              \
    }

/* The conventions name X-Amz-Signature, X-Amz-Credential, X-Amz-Security-Token, sig,
   X-Goog-Signature, AWSAccessKeyId and Signature, and advise a longer list. Who
   knows the upload_id of Google's may go on with the upload. Endings, because such
   keys are prefixed and nested freely: access_token, client_secret, user[password]. In the order of
   their last letters. */
static const struct word words[] = {
    WHOLE("hmac"),
    WHOLE("cred"),
    WHOLE("phpsessid"),
    WHOLE("pwd"),
    WHOLE("sid"),
    WHOLE("uploadid"),
    ENDING("accesskeyid"),
    ENDING("passwd"),
    ENDING("password"),
    ENDING("sessionid"),
    WHOLE("code"),
    ENDING("authcode"),
    ENDING("passcode"),
    ENDING("passphrase"),
    ENDING("samlresponse"),
    ENDING("signature"),
    WHOLE("sig"),
    WHOLE("auth"),
    WHOLE("psk"),
    ENDING("credential"),
    WHOLE("pin"),
    WHOLE("session"),
    ENDING("assertion"),
    ENDING("authorization"),
    ENDING("token"),
    WHOLE("otp"),
    WHOLE("bearer"),
    ENDING("codeverifier"),
    ENDING("oauthverifier"),
    WHOLE("pass"),
    ENDING("credentials"),
    ENDING("secrets"),
    ENDING("tokens"),
    WHOLE("jwt"),
    WHOLE("samlart"),
    ENDING("samlrequest"),
    ENDING("secret"),
    ENDING("ticket"),
    WHOLE("pw"),
    WHOLE("key"),
    ENDING("accesskey"),
    ENDING("accountkey"),
    ENDING("apikey"),
    ENDING("authkey"),
    ENDING("encryptionkey"),
    ENDING("licensekey"),
    ENDING("privatekey"),
    ENDING("secretkey"),
    ENDING("sessionkey"),
    ENDING("sharedkey"),
    ENDING("signingkey"),
    ENDING("subscriptionkey"),
};

/* Where the words with this last letter begin; they end where those of the next letter begin. */
static const uint8_t words_begin['z' - 'a' + 2] = {
    ['c' - 'a'] = 0,  ['d' - 'a'] = 1,  ['e' - 'a'] = 10, ['f' - 'a'] = 16, ['g' - 'a'] = 16,
    ['h' - 'a'] = 17, ['i' - 'a'] = 18, ['j' - 'a'] = 18, ['k' - 'a'] = 18, ['l' - 'a'] = 19,
    ['m' - 'a'] = 20, ['n' - 'a'] = 20, ['o' - 'a'] = 25, ['p' - 'a'] = 25, ['q' - 'a'] = 26,
    ['r' - 'a'] = 26, ['s' - 'a'] = 29, ['t' - 'a'] = 33, ['u' - 'a'] = 38, ['v' - 'a'] = 38,
    ['w' - 'a'] = 38, ['x' - 'a'] = 39, ['y' - 'a'] = 39, ['z' - 'a'] = 52, ['z' - 'a' + 1] = 52,
};

_Static_assert(sizeof(words) / sizeof(words[0]) == 52, "words_begin goes with words");

static bool ends_in(struct slice key, const struct word *word)
{
    return key.size >= word->size && (!word->is_whole || key.size == word->size) &&
           memcmp(key.data + key.size - word->size, word->text, word->size) == 0;
}

/* The key may be percent-encoded. */
static SLOW size_t normalise_encoded(struct slice key, uint8_t *text)
{
    uint8_t decoded[KEY_BYTES * 3];
    size_t size = key.size;
    memcpy(decoded, key.data, size);
    for (int round = 0; round < DECODE_ROUNDS; round++) {
        size = decode(decoded, size);
    }
    return normalise(slice_of(decoded, size), text);
}

static bool is_secret_key(struct slice key)
{
    uint8_t text[KEY_BYTES * 3];
    if (key.size > sizeof(text)) {
        return true;
    }
    if (key.size == 0) {
        return false;
    }
    size_t size = unlikely(memchr(key.data, '%', key.size) != NULL) ? normalise_encoded(key, text)
                                                                    : normalise(key, text);
    if (size == 0 || size > KEY_BYTES) {
        return size > 0;
    }
    unsigned letter = (unsigned)text[size - 1] - 'a';
    if (letter > 'z' - 'a') {
        return false;
    }
    for (size_t i = words_begin[letter]; i < words_begin[letter + 1]; i++) {
        if (ends_in(slice_of(text, size), &words[i])) {
            return true;
        }
    }
    return false;
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

/* What ends a key in a query, and as a parameter of a path. */
enum mark { MARK_KEY = 1, MARK_PARAMETER = 2 };

static inline bool is_mark(uint8_t byte, enum mark mark)
{
    static const uint8_t marks[256] = {
        ['='] = MARK_KEY | MARK_PARAMETER, ['&'] = MARK_KEY,
        [';'] = MARK_KEY | MARK_PARAMETER, ['?'] = MARK_KEY | MARK_PARAMETER,
        ['#'] = MARK_KEY | MARK_PARAMETER, ['/'] = MARK_PARAMETER,
    };
    return (marks[byte] & mark) != 0;
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

/* The commonest form, a path without user information anywhere: there is nothing to hide but pairs.
 */
static inline bool is_plain_path(struct slice target, size_t *plain)
{
    if (target.size == 0 || (target.data[0] != '/' && target.data[0] != '*')) {
        return false;
    }
    *plain = scan_path(target.data, target.size);
    return *plain == target.size || memchr(target.data + *plain, '@', target.size - *plain) == NULL;
}

/* `rest` begins with what begins a pair, and holds no user information. */
static void put_pairs(struct copy *copy, struct slice rest)
{
    bool in_query = false;
    while (rest.size > 0 && !copy->cut) {
        uint8_t mark = rest.data[0];
        in_query = in_query || mark == '?' || mark == '#';
        size_t size = 1;
        while (size < rest.size &&
               !is_mark(rest.data[size], in_query ? MARK_KEY : MARK_PARAMETER)) {
            size++;
        }
        bool is_pair = size < rest.size && rest.data[size] == '=';
        if (unlikely(is_pair && is_secret_key(slice_of(rest.data + 1, size - 1)))) {
            put(copy, slice_take(&rest, size + 1));
            put_whole(copy, SLICE("REDACTED"));
            slice_take(&rest, size_before(rest, in_query ? "&" : "/?"));
            if (rest.size > 0 && rest.data[0] == '/') {
                put(copy, slice_take(&rest, scan_path(rest.data, rest.size)));
            }
            continue;
        }
        /* A parameter's key may hold the '&' of a pair. */
        size = in_query ? size : 1;
        size += scan_path(rest.data + size, rest.size - size);
        put(copy, slice_take(&rest, size));
    }
}

size_t redact_target(struct slice target, bool target_cut, uint8_t *out, size_t capacity, bool *cut)
{
    struct copy copy = {.out = out, .capacity = capacity};
    size_t plain;
    if (likely(!target_cut && is_plain_path(target, &plain))) {
        put(&copy, slice_take(&target, plain));
        put_pairs(&copy, target);
        *cut = copy.cut;
        return copy.used;
    }
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

bool redact_changes_nothing(struct slice target)
{
    size_t plain;
    return is_plain_path(target, &plain) && plain == target.size;
}
