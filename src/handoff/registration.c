#include "handoff/registration.h"

static bool hex_digit(uint8_t digit, uint8_t *value)
{
    if (digit >= '0' && digit <= '9') {
        *value = (uint8_t)(digit - '0');
    } else if (digit >= 'a' && digit <= 'f') {
        *value = (uint8_t)(digit - 'a' + 10);
    } else {
        return false;
    }
    return true;
}

static bool parse_token(struct slice text, uint8_t token[REGISTRATION_TOKEN])
{
    if (text.size != 2 * REGISTRATION_TOKEN) {
        return false;
    }
    for (size_t i = 0; i < REGISTRATION_TOKEN; i++) {
        uint8_t high;
        uint8_t low;
        if (!hex_digit(text.data[2 * i], &high) || !hex_digit(text.data[2 * i + 1], &low)) {
            return false;
        }
        token[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

bool registration_parse_address(struct slice text, struct registration_address *address)
{
    *address = (struct registration_address){.name_size = text.size};
    if (text.size < 2 || (text.data[0] != '/' && text.data[0] != '@')) {
        return false;
    }
    if (text.data[0] == '@') {
        size_t at = 1;
        while (at < text.size && text.data[at] != '#') {
            at++;
        }
        if (at < text.size &&
            !parse_token(slice_of(text.data + at + 1, text.size - at - 1), address->token)) {
            return false;
        }
        address->name_size = at;
    }
    if (address->name_size < 2 || address->name_size >= REGISTRATION_PATH) {
        return false;
    }
    memcpy(address->name, text.data, address->name_size);
    if (text.data[0] == '@') {
        address->name[0] = '\0';
    }
    return true;
}
