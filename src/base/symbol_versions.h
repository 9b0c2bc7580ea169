/*
 * The oldest version of each symbol that moved, so that the object loads into old C libraries.
 * glibc 2.34 merged libdl and libpthread into libc and gave these names a new version; the old one
 * is still there, and the only one on older systems.
 */
#pragma once

#if defined(__x86_64__)
#define OLDEST "GLIBC_2.2.5"
#elif defined(__aarch64__)
#define OLDEST "GLIBC_2.17"
#endif

__asm__(".symver dlsym, dlsym@" OLDEST);
__asm__(".symver dlopen, dlopen@" OLDEST);
__asm__(".symver dladdr, dladdr@" OLDEST);
__asm__(".symver pthread_create, pthread_create@" OLDEST);
__asm__(".symver dlerror, dlerror@" OLDEST);
__asm__(".symver pthread_attr_setstacksize, pthread_attr_setstacksize@" OLDEST);
__asm__(".symver pthread_join, pthread_join@" OLDEST);
