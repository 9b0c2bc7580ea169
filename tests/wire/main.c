#include "runner.h"

int main(int argc, char **argv)
{
    return wire_main(&wire_subject, argc, argv);
}
