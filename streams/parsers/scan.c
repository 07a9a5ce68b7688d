/* The usual lines of Exim's main log, read without regular expressions; the lines of a record; the usual mailbox.
 *
 * Invariant: each function knows less than the Python beside it, and tells the same of what it knows: the groups that
 * an expression of exim/fast_path.py has, what `decode_lines` of lines.py returns, the domain that an expression of
 * enrichment/accounts.py finds. Of anything else it tells nothing (None), and Python looks. Each optional field begins
 * in a way of its own, so that there is never a second way to read a line. Non-ASCII text is left to Python.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

enum {
    DIGIT = 1,
    LOWER = 2,
    UPPER = 4,
    DOT_DASH = 8,
    UNDERSCORE = 16,
    COLON = 32,
    BRACKET = 64,
    AT_PLUS = 128,
    ALNUM = DIGIT | LOWER | UPPER,
    WORD = ALNUM | UNDERSCORE,
    DOMAIN = ALNUM | DOT_DASH,
    HOST = WORD | DOT_DASH,
    HELO = HOST | COLON | BRACKET,
    LOGIN = HOST | AT_PLUS,
};

static unsigned char kinds[256];

static void mark(const char *characters, int kind)
{
    for (; *characters; characters++)
        kinds[(unsigned char)*characters] |= (unsigned char)kind;
}

static void mark_kinds(void)
{
    mark("0123456789", DIGIT);
    mark("abcdefghijklmnopqrstuvwxyz", LOWER);
    mark("ABCDEFGHIJKLMNOPQRSTUVWXYZ", UPPER);
    mark(".-", DOT_DASH);
    mark("_", UNDERSCORE);
    mark(":", COLON);
    mark("[]", BRACKET);
    mark("@+", AT_PLUS);
}

/* What has been read of a line: `at` is the next character. */
typedef struct {
    const char *at, *end;
} Place;

typedef struct {
    const char *start;
    Py_ssize_t size;
} Text;

static const Text NOTHING = {"", 0};

#define STAMP_LENGTH 19
#define LITERAL(place, text) literal(place, text, sizeof(text) - 1)

static inline int literal(Place *place, const char *text, size_t size)
{
    if ((size_t)(place->end - place->at) < size || memcmp(place->at, text, size))
        return 0;
    place->at += size;
    return 1;
}

static inline int character(Place *place, char wanted)
{
    if (place->at == place->end || *place->at != wanted)
        return 0;
    place->at++;
    return 1;
}

/* [kind]++ */
static inline int many(Place *place, int kind, Text *found)
{
    const char *at = place->at;
    while (at < place->end && kinds[(unsigned char)*at] & kind)
        at++;
    *found = (Text){place->at, at - place->at};
    place->at = at;
    return found->size > 0;
}

/* [0-9A-Za-z.:]++ */
static inline int ip_address(Place *place, Text *found)
{
    const char *at = place->at;
    while (at < place->end && (kinds[(unsigned char)*at] & (ALNUM | COLON) || *at == '.'))
        at++;
    *found = (Text){place->at, at - place->at};
    place->at = at;
    return found->size > 0;
}

/* [^ ]++ */
static inline int word(Place *place, Text *found)
{
    const char *blank = memchr(place->at, ' ', (size_t)(place->end - place->at));
    const char *until = blank ? blank : place->end;
    *found = (Text){place->at, until - place->at};
    place->at = until;
    return found->size > 0;
}

/* [^but]*+ */
static inline void any_but(Place *place, const char *but, Text *found)
{
    const char *at = place->at;
    while (at < place->end && !strchr(but, *at))
        at++;
    *found = (Text){place->at, at - place->at};
    place->at = at;
}

static inline int all_of(Text text, int kind)
{
    for (Py_ssize_t i = 0; i < text.size; i++)
        if (!(kinds[(unsigned char)text.start[i]] & kind))
            return 0;
    return 1;
}

/* " 1vwyE4-0003aC-2X " or the longer ones of Exim 4.97; without the blanks. */
static int queue_id(Place *place, Text *found)
{
    const char *at = place->at;
    Py_ssize_t left = place->end - at;
    if (left < 18 || at[0] != ' ' || at[7] != '-' || !all_of((Text){at + 1, 6}, ALNUM))
        return 0;
    Py_ssize_t second = at[14] == '-' ? 6 : 11, third = at[14] == '-' ? 2 : 4;
    Py_ssize_t size = 6 + 1 + second + 1 + third;
    if (left < 1 + size + 1 || at[8 + second] != '-' || at[1 + size] != ' ')
        return 0;
    if (!all_of((Text){at + 8, second}, ALNUM) || !all_of((Text){at + 9 + second, third}, ALNUM))
        return 0;
    *found = (Text){at + 1, size};
    place->at = at + 1 + size + 1;
    return 1;
}

/* (?::[0-9]++|) */
static void port(Place *place)
{
    Text number;
    if (place->end - place->at > 1 && place->at[0] == ':' && kinds[(unsigned char)place->at[1]] & DIGIT) {
        place->at++;
        many(place, DIGIT, &number);
    }
}

/* \[ip\](?::port|) */
static int bracketed(Place *place, Text *ip)
{
    if (!character(place, '[') || !ip_address(place, ip) || !character(place, ']'))
        return 0;
    port(place);
    return 1;
}

/* H=(?:name |)(?:\(helo\) |)\[ip\](?::port|) and a blank */
static int client(Place *place, Text *name, Text *ip)
{
    Text helo;
    if (many(place, HOST, name) && !character(place, ' '))
        return 0;
    if (character(place, '(') && !(many(place, HELO, &helo) && LITERAL(place, ") ")))
        return 0;
    return bracketed(place, ip) && character(place, ' ');
}

/* X=([^ ]++) CV=[a-z]++ */
static int tls_of(Place *place, Text *tls)
{
    Text verified;
    return word(place, tls) && LITERAL(place, " CV=") && many(place, LOWER, &verified);
}

/* A=(method):(login) and a blank */
static int login_of(Place *place, Text *method, Text *login)
{
    return many(place, WORD, method) && character(place, ':') && many(place, LOGIN, login) && character(place, ' ');
}

/* (?: H=name [ip](?::port|)\*?(?: I=[ip](?::port|)|)(?: X=tls CV=yes|)|) */
static int far_server(Place *place, Text *host, Text *ip, Text *source_ip, Text *tls)
{
    *host = *ip = *source_ip = *tls = NOTHING;
    if (!LITERAL(place, " H="))
        return 1;
    if (!word(place, host) || !character(place, ' ') || !bracketed(place, ip))
        return 0;
    character(place, '*');
    if (LITERAL(place, " I=") && !bracketed(place, source_ip))
        return 0;
    return !LITERAL(place, " X=") || tls_of(place, tls);
}

/* ([^ "(<|>/:][^ ]*+) (?:<([^ "<>]++)> |) */
static int addresses(Place *place, Text *final, Text *original)
{
    *original = NOTHING;
    if (!word(place, final) || strchr("\"(<|>/:", final->start[0]) || !character(place, ' '))
        return 0;
    if (!character(place, '<'))
        return 1;
    any_but(place, " \"<>", original);
    return original->size && LITERAL(place, "> ");
}

static PyObject *text_of(Text text)
{
    PyObject *made = PyUnicode_New(text.size, 127);
    if (made && text.size)
        memcpy(PyUnicode_1BYTE_DATA(made), text.start, (size_t)text.size);
    return made;
}

static PyObject *tuple_of(const Text *texts, Py_ssize_t count)
{
    PyObject *made = PyTuple_New(count);
    for (Py_ssize_t i = 0; made && i < count; i++) {
        PyObject *one = text_of(texts[i]);
        if (one)
            PyTuple_SET_ITEM(made, i, one);
        else
            Py_CLEAR(made);
    }
    return made;
}

/* The place behind the stamp. */
static int begin(PyObject *line, Place *place)
{
    if (!PyUnicode_Check(line) || !PyUnicode_IS_COMPACT_ASCII(line) || PyUnicode_GET_LENGTH(line) < STAMP_LENGTH)
        return 0;
    const char *start = (const char *)PyUnicode_1BYTE_DATA(line);
    *place = (Place){start + STAMP_LENGTH, start + PyUnicode_GET_LENGTH(line)};
    return !memchr(start, '\0', (size_t)PyUnicode_GET_LENGTH(line)) &&
           !memchr(start, '\n', (size_t)PyUnicode_GET_LENGTH(line));
}

enum { A_ID, A_SENDER, A_PARENT, A_CLIENT, A_IP, A_USER, A_METHOD, A_LOGIN, A_SIZE, A_MESSAGE_ID, A_SUBJECT, A_FOR, A_COUNT };

static int read_arrival(Place *place, Text *found)
{
    Text unused;
    for (int i = 0; i < A_COUNT; i++)
        found[i] = NOTHING;
    if (!queue_id(place, &found[A_ID]) || !LITERAL(place, "<= "))
        return 0;
    if (!word(place, &found[A_SENDER]) || found[A_SENDER].start[0] == '"' || !character(place, ' '))
        return 0;
    if (LITERAL(place, "R=") && !(word(place, &found[A_PARENT]) && character(place, ' ')))
        return 0;
    if (LITERAL(place, "H=") && !client(place, &found[A_CLIENT], &found[A_IP]))
        return 0;
    if (LITERAL(place, "I=") && !(bracketed(place, &unused) && character(place, ' ')))
        return 0;
    if (LITERAL(place, "U=") && !(word(place, &found[A_USER]) && character(place, ' ')))
        return 0;
    if (!LITERAL(place, "P=") || !word(place, &unused) || !character(place, ' '))
        return 0;
    if (LITERAL(place, "X=") && !(tls_of(place, &unused) && character(place, ' ')))
        return 0;
    if (LITERAL(place, "SNI=") && !(many(place, DOMAIN, &unused) && character(place, ' ')))
        return 0;
    if (LITERAL(place, "A=") && !login_of(place, &found[A_METHOD], &found[A_LOGIN]))
        return 0;
    if (!LITERAL(place, "S=") || !many(place, DIGIT, &found[A_SIZE]) || found[A_SIZE].size > 18)
        return 0;
    if (LITERAL(place, " M8S=") && !(many(place, DIGIT, &unused) && unused.size == 1))
        return 0;
    if (LITERAL(place, " id=") && !word(place, &found[A_MESSAGE_ID]))
        return 0;
    if (LITERAL(place, " T=\"")) {
        const char *at = place->at;
        while (at < place->end && *at != '"')
            at += *at == '\\' ? 2 : 1;
        if (at >= place->end)
            return 0;
        found[A_SUBJECT] = (Text){place->at, at - place->at};
        place->at = at + 1;
    }
    if (LITERAL(place, " from <")) {
        any_but(place, ">\"", &unused);
        if (!character(place, '>'))
            return 0;
    }
    if (LITERAL(place, " for ")) {
        any_but(place, "\"", &found[A_FOR]);
        if (!found[A_FOR].size || strchr(">@.-", place->at[-1]))
            return 0;
    }
    return place->at == place->end;
}

enum { D_ID, D_FINAL, D_ORIGINAL, D_ROUTER, D_TRANSPORT, D_HOST, D_IP, D_SOURCE, D_TLS, D_ANSWER, D_COUNT };

static int read_delivery(Place *place, Text *found)
{
    Text unused;
    found[D_ANSWER] = NOTHING;
    if (!queue_id(place, &found[D_ID]) || place->end - place->at < 3 || !strchr("=>-", place->at[0]))
        return 0;
    place->at++;
    if (!LITERAL(place, "> ") || !addresses(place, &found[D_FINAL], &found[D_ORIGINAL]))
        return 0;
    if (LITERAL(place, "F=<")) {
        any_but(place, ">\"", &unused);
        if (!LITERAL(place, "> "))
            return 0;
    }
    if (!LITERAL(place, "R=") || !word(place, &found[D_ROUTER]))
        return 0;
    if (!LITERAL(place, " T=") || !word(place, &found[D_TRANSPORT]))
        return 0;
    if (LITERAL(place, " S=") && !many(place, DIGIT, &unused))
        return 0;
    if (!far_server(place, &found[D_HOST], &found[D_IP], &found[D_SOURCE], &found[D_TLS]))
        return 0;
    LITERAL(place, " K");
    if (LITERAL(place, " C=\"")) {
        const char *quote = memchr(place->at, '"', (size_t)(place->end - place->at));
        if (!quote)
            return 0;
        found[D_ANSWER] = (Text){place->at, quote - place->at};
        place->at = quote + 1;
    }
    if (LITERAL(place, " QT=") && !word(place, &unused))
        return 0;
    if (LITERAL(place, " DT=") && !word(place, &unused))
        return 0;
    return place->at == place->end;
}

enum { T_ID, T_FLAG, T_FINAL, T_ORIGINAL, T_ROUTER, T_TRANSPORT, T_NUMBER, T_HOST, T_IP, T_SOURCE, T_TLS, T_WORDS, T_COUNT };

static int read_try(Place *place, Text *found)
{
    found[T_ROUTER] = found[T_TRANSPORT] = found[T_NUMBER] = NOTHING;
    if (!queue_id(place, &found[T_ID]))
        return 0;
    found[T_FLAG] = (Text){place->at, 2};
    if ((!LITERAL(place, "== ") && !LITERAL(place, "** ")) || !addresses(place, &found[T_FINAL], &found[T_ORIGINAL]))
        return 0;
    int is_routed = LITERAL(place, "R=");
    if (is_routed) {
        any_but(place, " :", &found[T_ROUTER]);
        if (!found[T_ROUTER].size)
            return 0;
        if (LITERAL(place, " T=")) {
            any_but(place, " :", &found[T_TRANSPORT]);
            if (!found[T_TRANSPORT].size)
                return 0;
        }
    } else if (!LITERAL(place, "routing")) {
        return 0;
    }
    if (LITERAL(place, " defer (")) {
        const char *start = place->at;
        Text digits;
        character(place, '-');
        if (!many(place, DIGIT, &digits) || !character(place, ')'))
            return 0;
        found[T_NUMBER] = (Text){start, place->at - 1 - start};
    } else if (!is_routed) {
        return 0;
    }
    if (!far_server(place, &found[T_HOST], &found[T_IP], &found[T_SOURCE], &found[T_TLS]) || !LITERAL(place, ": "))
        return 0;
    found[T_WORDS] = (Text){place->at, place->end - place->at};
    return 1;
}

enum { R_HOST, R_IP, R_SENDER, R_METHOD, R_LOGIN, R_FOR_NOW, R_RECIPIENT, R_WORDS, R_COUNT };

static int read_refusal(Place *place, Text *found)
{
    Text unused;
    found[R_METHOD] = found[R_LOGIN] = found[R_FOR_NOW] = NOTHING;
    if (!LITERAL(place, " H=") || !client(place, &found[R_HOST], &found[R_IP]))
        return 0;
    if (LITERAL(place, "X=") && !(tls_of(place, &unused) && character(place, ' ')))
        return 0;
    if (!LITERAL(place, "F=<"))
        return 0;
    any_but(place, " >\"[", &found[R_SENDER]);
    if (!LITERAL(place, "> "))
        return 0;
    if (LITERAL(place, "A=") && !login_of(place, &found[R_METHOD], &found[R_LOGIN]))
        return 0;
    const char *start = place->at;
    if (LITERAL(place, "temporarily "))
        found[R_FOR_NOW] = (Text){start, place->at - start};
    if (!LITERAL(place, "rejected RCPT <"))
        return 0;
    any_but(place, " >\"[", &found[R_RECIPIENT]);
    if (!found[R_RECIPIENT].size || !LITERAL(place, ">: "))
        return 0;
    found[R_WORDS] = (Text){place->at, place->end - place->at};
    return 1;
}

static int read_end(Place *place, Text *found)
{
    return queue_id(place, found) && LITERAL(place, "Completed") && (place->at == place->end || *place->at == ' ');
}

#define MOST_GROUPS A_COUNT
_Static_assert(D_COUNT <= MOST_GROUPS && T_COUNT <= MOST_GROUPS && R_COUNT <= MOST_GROUPS,
               "a line has more groups than groups_of has room for");

/* The groups that `read` finds in the line, or None. */
static PyObject *groups_of(PyObject *line, int (*read)(Place *, Text *), Py_ssize_t count)
{
    Place place;
    Text found[MOST_GROUPS];
    if (!begin(line, &place) || !read(&place, found))
        Py_RETURN_NONE;
    return tuple_of(found, count);
}

static PyObject *exim_arrival(PyObject *module, PyObject *line)
{
    return groups_of(line, read_arrival, A_COUNT);
}

static PyObject *exim_delivery(PyObject *module, PyObject *line)
{
    return groups_of(line, read_delivery, D_COUNT);
}

static PyObject *exim_try(PyObject *module, PyObject *line)
{
    return groups_of(line, read_try, T_COUNT);
}

static PyObject *exim_refusal(PyObject *module, PyObject *line)
{
    return groups_of(line, read_refusal, R_COUNT);
}

static PyObject *exim_end(PyObject *module, PyObject *line)
{
    return groups_of(line, read_end, 1);
}

static int is_ascii(Text text)
{
    const char *at = text.start, *end = text.start + text.size;
    for (; end - at >= 8; at += 8) {
        unsigned long long eight;
        memcpy(&eight, at, sizeof eight);
        if (eight & 0x8080808080808080ULL)
            return 0;
    }
    for (; at < end; at++)
        if (*at & 0x80)
            return 0;
    return 1;
}

static PyObject *lines(PyObject *module, PyObject *const *arguments, Py_ssize_t given)
{
    if (given != 2 || !PyBytes_Check(arguments[0])) {
        PyErr_SetString(PyExc_TypeError, "lines(value: bytes, most_bytes: int)");
        return NULL;
    }
    Py_ssize_t most = PyLong_AsSsize_t(arguments[1]);
    if (most == -1 && PyErr_Occurred())
        return NULL;
    const char *at = PyBytes_AS_STRING(arguments[0]), *end = at + PyBytes_GET_SIZE(arguments[0]);
    if (memchr(at, '\r', (size_t)(end - at)))
        Py_RETURN_NONE;
    PyObject *found = PyList_New(0);
    while (found && at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        Text line = {at, (newline ? newline : end) - at};
        if (line.size > most) {
            Py_DECREF(found);
            Py_RETURN_NONE;
        }
        PyObject *text = is_ascii(line) ? text_of(line) : PyUnicode_DecodeUTF8(line.start, line.size, NULL);
        if (!text && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
            PyErr_Clear();
            Py_DECREF(found);
            Py_RETURN_NONE;
        }
        if (!text || PyList_Append(found, text))
            Py_CLEAR(found);
        Py_XDECREF(text);
        at += line.size + 1;
    }
    return found;
}

static PyObject *domain_of_mailbox(PyObject *module, PyObject *name)
{
    if (!PyUnicode_Check(name) || !PyUnicode_IS_COMPACT_ASCII(name))
        Py_RETURN_NONE;
    const char *start = (const char *)PyUnicode_1BYTE_DATA(name);
    Place place = {start, start + PyUnicode_GET_LENGTH(name)};
    Text domain;
    if (place.at == place.end || !(kinds[(unsigned char)*place.at] & (DIGIT | LOWER)))
        Py_RETURN_NONE;
    while (place.at < place.end && (kinds[(unsigned char)*place.at] & (DIGIT | LOWER | DOT_DASH) || *place.at == '+'))
        place.at++;
    if (!character(&place, '@') || !many(&place, DIGIT | LOWER | DOT_DASH, &domain) || place.at != place.end)
        Py_RETURN_NONE;
    return text_of(domain);
}

static PyMethodDef methods[] = {
    {"exim_arrival", exim_arrival, METH_O, "A line → the groups of USUAL_ARRIVAL, or None."},
    {"exim_delivery", exim_delivery, METH_O, "A line → the groups of USUAL_DELIVERY, or None."},
    {"exim_try", exim_try, METH_O, "A line → the groups of USUAL_TRY, or None."},
    {"exim_refusal", exim_refusal, METH_O, "A line → the groups of USUAL_REFUSAL, or None."},
    {"exim_end", exim_end, METH_O, "A line → the group of USUAL_END, or None."},
    {"lines", (PyCFunction)(void (*)(void))lines, METH_FASTCALL,
     "Whole lines → text without newlines; None where one is no UTF-8, is longer, or \\r is in them."},
    {"domain_of_mailbox", domain_of_mailbox, METH_O, "A mailbox in lower case, of usual characters → its domain."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "postwatch_core_scan", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_postwatch_core_scan(void)
{
    mark_kinds();
    return PyModule_Create(&definition);
}
