/* A library with names of OpenSSL's that is none: NUMBER tells which copy it is. As with the real
   one, a session points to a table of its library. */
struct imitation {
    int version;
    const int *method;
    long more[6];
};

struct imitation *imitation_new(void);
int SSL_read(struct imitation *session, void *buffer, int size);
int SSL_write(struct imitation *session, const void *buffer, int size);

static const int table[4] = {NUMBER};
static struct imitation only = {.version = 1};

struct imitation *imitation_new(void)
{
    only.method = table;
    return &only;
}

int SSL_read(struct imitation *session, void *buffer, int size)
{
    (void)buffer;
    return session->method == table ? NUMBER + size : -NUMBER;
}

/* Comes by its own name to SSL_read, by a jump if the compiler makes one. */
int SSL_write(struct imitation *session, const void *buffer, int size)
{
    (void)buffer;
    return SSL_read(session, (void *)0, size + 1);
}
