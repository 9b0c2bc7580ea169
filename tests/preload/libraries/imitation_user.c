/* Linked with one of the imitations. */
struct imitation;
struct imitation *imitation_new(void);
int SSL_read(struct imitation *session, void *buffer, int size);
int SSL_write(struct imitation *session, const void *buffer, int size);
int imitation_read(int size);
int imitation_write(int size);
int imitation_pass_on(int size);

int imitation_read(int size)
{
    volatile int result = SSL_read(imitation_new(), (void *)0, size);
    return result;
}

int imitation_write(int size)
{
    volatile int result = SSL_write(imitation_new(), "", size);
    return result;
}

/* The call's return address is that of this function's caller. */
int imitation_pass_on(int size)
{
    return SSL_read(imitation_new(), (void *)0, size);
}
