#include "worker/transport/percent.h"

#include "wire/hex.h"

size_t percent_decode(struct slice text, char *into, bool *clean)
{
    size_t written = 0;
    *clean = true;
    for (size_t i = 0; i < text.size; i++) {
        int high = -1;
        int low = -1;
        if (text.data[i] == '%') {
            if (text.size - i > 2) {
                high = hex_digit(text.data[i + 1]);
                low = hex_digit(text.data[i + 2]);
            }
            if (high < 0 || low < 0) {
                *clean = false;
            }
        }
        if (high >= 0 && low >= 0) {
            into[written++] = (char)(high << 4 | low);
            i += 2;
        } else {
            into[written++] = (char)text.data[i];
        }
    }
    return written;
}
