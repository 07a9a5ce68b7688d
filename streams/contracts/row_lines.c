/* Rows → what `postwatch read` keeps of them: their lines of JSON, and entries that say where each one stands.
 *
 * Invariant: what comes out is what packed_rows.py makes of the same rows, or an exception. Cells of another type than
 * the column's, and numbers and times out of its range, are refused; packed_rows.py then does it itself.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define MOST_COLUMNS 128
#define EACH_BYTE(byte) (0x0101010101010101ULL * (byte))
#define DAY_MS 86400000LL
#define END_OF_9999_MS 253402300800000LL

typedef struct {
    char *at;
    Py_ssize_t used, room;
} Buffer;

typedef struct {
    char kind; /* 's' text, 'n' number that is not negative, 't' time in ms, 'L' texts, '(' rows */
    const char *label; /* what stands before the value: a bracket or a comma, the name, a colon */
    Py_ssize_t label_size;
    int parts; /* of '(': how many columns of its elements stand behind it */
} Column;

static int grow(Buffer *buffer, Py_ssize_t more)
{
    Py_ssize_t room = buffer->room ? buffer->room : 4096;
    while (room < buffer->used + more)
        room *= 2;
    char *at = PyMem_Realloc(buffer->at, (size_t)room);
    if (!at) {
        PyErr_NoMemory();
        return -1;
    }
    buffer->at = at;
    buffer->room = room;
    return 0;
}

static inline int reserve(Buffer *buffer, Py_ssize_t more)
{
    return buffer->used + more > buffer->room ? grow(buffer, more) : 0;
}

static inline int put(Buffer *buffer, const char *from, Py_ssize_t size)
{
    if (reserve(buffer, size))
        return -1;
    memcpy(buffer->at + buffer->used, from, (size_t)size);
    buffer->used += size;
    return 0;
}

static int refuse(PyObject *cell, char kind)
{
    PyErr_Format(PyExc_TypeError, "a cell of kind %c holds %R", kind, Py_TYPE(cell));
    return -1;
}

static const char *read_text(PyObject *cell, Py_ssize_t *size)
{
    if (!PyUnicode_CheckExact(cell)) {
        refuse(cell, 's');
        return NULL;
    }
    if (PyUnicode_IS_COMPACT_ASCII(cell)) {
        *size = PyUnicode_GET_LENGTH(cell);
        return (const char *)PyUnicode_1BYTE_DATA(cell);
    }
    return PyUnicode_AsUTF8AndSize(cell, size);
}

/* Whether one of 8 bytes is a control character, a quotation mark or a backslash. */
static inline int is_any_escaped(uint64_t word)
{
    uint64_t quotes = word ^ EACH_BYTE('"'), slashes = word ^ EACH_BYTE('\\');
    uint64_t found = ((word - EACH_BYTE(0x20)) & ~word) | ((quotes - EACH_BYTE(1)) & ~quotes) |
                     ((slashes - EACH_BYTE(1)) & ~slashes);
    return (found & EACH_BYTE(0x80)) != 0;
}

static char *put_character(char *to, unsigned char byte)
{
    static const char digits[] = "0123456789abcdef";
    static const char names[] = "btn\0fr"; /* of the characters 8 to 13 */
    if (byte >= 0x20 && byte != '"' && byte != '\\') {
        *to++ = (char)byte;
        return to;
    }
    *to++ = '\\';
    if (byte >= 0x20) {
        *to++ = (char)byte;
    } else if (byte >= 8 && byte <= 13 && byte != 11) {
        *to++ = names[byte - 8];
    } else {
        memcpy(to, "u00", 3);
        to[3] = digits[byte >> 4];
        to[4] = digits[byte & 15];
        to += 5;
    }
    return to;
}

static int put_text(Buffer *buffer, PyObject *cell)
{
    Py_ssize_t size, i = 0;
    const char *text = read_text(cell, &size);
    if (!text || reserve(buffer, 6 * size + 2))
        return -1;
    char *to = buffer->at + buffer->used;
    *to++ = '"';
    while (i < size) {
        Py_ssize_t end = size;
        if (i + 8 <= size) {
            uint64_t word;
            memcpy(&word, text + i, 8);
            if (!is_any_escaped(word)) {
                memcpy(to, &word, 8);
                to += 8;
                i += 8;
                continue;
            }
            end = i + 8;
        }
        while (i < end)
            to = put_character(to, (unsigned char)text[i++]);
    }
    *to++ = '"';
    buffer->used = to - buffer->at;
    return 0;
}

static int read_number(PyObject *cell, char kind, uint64_t *number)
{
    if (!PyLong_CheckExact(cell))
        return refuse(cell, kind);
    *number = PyLong_AsUnsignedLongLong(cell);
    return *number == UINT64_MAX && PyErr_Occurred() ? -1 : 0;
}

static int put_number(Buffer *buffer, PyObject *cell)
{
    uint64_t number;
    char digits[20];
    int i = sizeof digits;
    if (read_number(cell, 'n', &number))
        return -1;
    do
        digits[--i] = (char)('0' + number % 10);
    while (number /= 10);
    return put(buffer, digits + i, (Py_ssize_t)sizeof digits - i);
}

static void put_digits(char *to, int count, int64_t number)
{
    for (; count--; number /= 10)
        to[count] = (char)('0' + number % 10);
}

static int put_time(Buffer *buffer, PyObject *cell)
{
    uint64_t at;
    char text[] = "\"0000-00-00T00:00:00.000Z\"";
    if (read_number(cell, 't', &at))
        return -1;
    if (at >= END_OF_9999_MS) {
        PyErr_SetString(PyExc_OverflowError, "a time is out of range");
        return -1;
    }
    /* The Gregorian calendar from days, with years that begin in March, so that the leap day is a year's last. */
    int64_t day = (int64_t)at / DAY_MS + 719468, ms = (int64_t)at % DAY_MS;
    int64_t era = day / 146097, of_era = day % 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153;
    put_digits(text + 9, 2, of_year - (153 * month + 2) / 5 + 1);
    month += month < 10 ? 3 : -9;
    put_digits(text + 1, 4, 400 * era + year + (month <= 2));
    put_digits(text + 6, 2, month);
    put_digits(text + 12, 2, ms / 3600000);
    put_digits(text + 15, 2, ms / 60000 % 60);
    put_digits(text + 18, 2, ms / 1000 % 60);
    put_digits(text + 21, 3, ms % 1000);
    return put(buffer, text, sizeof text - 1);
}

static int put_row(Buffer *buffer, const Column *columns, int first, int end, PyObject *row);

static int put_list(Buffer *buffer, const Column *columns, int place, PyObject *cell)
{
    const Column *column = &columns[place];
    if (!PyTuple_Check(cell) && !PyList_Check(cell))
        return refuse(cell, column->kind);
    if (put(buffer, "[", 1))
        return -1;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(cell); i++) {
        PyObject *item = PySequence_Fast_GET_ITEM(cell, i);
        if ((i && put(buffer, ",", 1)) ||
            (column->kind == 'L' ? put_text(buffer, item)
                                 : put_row(buffer, columns, place + 1, place + 1 + column->parts, item)))
            return -1;
    }
    return put(buffer, "]", 1);
}

static int put_row(Buffer *buffer, const Column *columns, int first, int end, PyObject *row)
{
    Py_ssize_t index = 0, cells = 0;
    if (!PyTuple_Check(row))
        return refuse(row, '(');
    for (int i = first; i < end; i += 1 + columns[i].parts)
        cells++;
    if (cells != PyTuple_GET_SIZE(row)) {
        PyErr_SetString(PyExc_TypeError, "a row has another number of cells than there are columns");
        return -1;
    }
    for (int i = first; i < end; i += 1 + columns[i].parts, index++) {
        const Column *column = &columns[i];
        PyObject *cell = PyTuple_GET_ITEM(row, index);
        if (put(buffer, column->label, column->label_size) ||
            (column->kind == 's'   ? put_text(buffer, cell)
             : column->kind == 'n' ? put_number(buffer, cell)
             : column->kind == 't' ? put_time(buffer, cell)
                                   : put_list(buffer, columns, i, cell)))
            return -1;
    }
    return put(buffer, "}", 1);
}

/* The kinds, such as "st(ts)L", and the labels of their columns → columns. Returns their number, or -1. */
static int read_columns(const char *kinds, PyObject *labels, Column *columns)
{
    int count = 0, outer = -1;
    for (; *kinds; kinds++) {
        if (*kinds == ')' && outer >= 0) {
            columns[outer].parts = count - outer - 1;
            outer = -1;
            continue;
        }
        if (!strchr("sntL(", *kinds) || count == MOST_COLUMNS || count == PyTuple_GET_SIZE(labels) ||
            (outer >= 0 && *kinds == '(')) {
            PyErr_SetString(PyExc_ValueError, "no such kinds");
            return -1;
        }
        Column *column = &columns[count];
        column->kind = *kinds;
        column->parts = 0;
        column->label = read_text(PyTuple_GET_ITEM(labels, count), &column->label_size);
        if (!column->label)
            return -1;
        if (*kinds == '(')
            outer = count;
        count++;
    }
    if (outer >= 0 || count != PyTuple_GET_SIZE(labels)) {
        PyErr_SetString(PyExc_ValueError, "kinds and labels do not fit each other");
        return -1;
    }
    return count;
}

/* Its highest byte first, so that bytes have the order of numbers. */
static void write_number(char *to, uint64_t number)
{
    for (int byte = 8; byte--; number >>= 8)
        to[byte] = (char)(number & 0xff);
}

/* Bytes in the order of the cells: the number with its highest byte first, each text with an end that is below all. */
static int put_key(Buffer *buffer, PyObject *row, const Py_ssize_t *places, Py_ssize_t count)
{
    uint64_t number;
    if (!PyTuple_Check(row))
        return refuse(row, '(');
    for (Py_ssize_t i = 0; i < count; i++) {
        if (places[i] < 0 || places[i] >= PyTuple_GET_SIZE(row)) {
            PyErr_SetString(PyExc_ValueError, "a row has no such cell");
            return -1;
        }
        PyObject *cell = PyTuple_GET_ITEM(row, places[i]);
        if (i == 0) {
            if (read_number(cell, 'n', &number) || reserve(buffer, 8))
                return -1;
            write_number(buffer->at + buffer->used, number);
            buffer->used += 8;
            continue;
        }
        Py_ssize_t size;
        const char *text = read_text(cell, &size);
        if (!text || reserve(buffer, 2 * size + 1))
            return -1;
        char *to = buffer->at + buffer->used;
        for (Py_ssize_t at = 0; at < size; at++) {
            if ((unsigned char)text[at] > 1) {
                *to++ = text[at];
            } else {
                *to++ = 1;
                *to++ = (char)(text[at] + 1);
            }
        }
        *to++ = 0;
        buffer->used = to - buffer->at;
    }
    return 0;
}

/* The key, the version, and where the line begins and ends. */
static int append_entry(PyObject *entries, Buffer *key, PyObject *version, uint64_t begin, uint64_t end)
{
    uint64_t number;
    if (read_number(version, 'n', &number) || reserve(key, 24))
        return -1;
    char *to = key->at + key->used;
    write_number(to, number);
    write_number(to + 8, begin);
    write_number(to + 16, end);
    PyObject *entry = PyBytes_FromStringAndSize(key->at, key->used + 24);
    int failed = !entry || PyList_Append(entries, entry);
    Py_XDECREF(entry);
    return failed;
}

static PyObject *pack(PyObject *module, PyObject *arguments)
{
    Column columns[MOST_COLUMNS];
    Py_ssize_t places[MOST_COLUMNS];
    PyObject *rows, *labels, *key;
    const char *kinds;
    Py_ssize_t version, deleted;
    unsigned long long start;
    if (!PyArg_ParseTuple(arguments, "O!sO!O!nnK", &PyList_Type, &rows, &kinds, &PyTuple_Type, &labels, &PyTuple_Type,
                          &key, &version, &deleted, &start))
        return NULL;
    int count = read_columns(kinds, labels, columns);
    Py_ssize_t key_size = PyTuple_GET_SIZE(key);
    if (count < 0)
        return NULL;
    if (key_size > MOST_COLUMNS) {
        PyErr_SetString(PyExc_ValueError, "no such key");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < key_size; i++) {
        places[i] = PyLong_AsSsize_t(PyTuple_GET_ITEM(key, i));
        if (PyErr_Occurred())
            return NULL;
    }
    Buffer lines = {NULL, 0, 0}, entry = {NULL, 0, 0};
    PyObject *entries = PyList_New(0), *packed = NULL;
    if (!entries || grow(&lines, 1))
        goto end;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(rows); i++) {
        PyObject *row = PyList_GET_ITEM(rows, i);
        Py_ssize_t begin = lines.used;
        entry.used = 0;
        if (put_key(&entry, row, places, key_size))
            goto end;
        if (version < 0 || deleted < 0 || version >= PyTuple_GET_SIZE(row) || deleted >= PyTuple_GET_SIZE(row)) {
            PyErr_SetString(PyExc_ValueError, "a row has no such cell");
            goto end;
        }
        int is_deleted = PyObject_IsTrue(PyTuple_GET_ITEM(row, deleted));
        if (is_deleted < 0 || (!is_deleted && (put_row(&lines, columns, 0, count, row) || put(&lines, "\n", 1))) ||
            append_entry(entries, &entry, PyTuple_GET_ITEM(row, version), start + (uint64_t)begin,
                         start + (uint64_t)lines.used))
            goto end;
    }
    packed = Py_BuildValue("(Oy#)", entries, lines.at, lines.used);
end:
    PyMem_Free(lines.at);
    PyMem_Free(entry.at);
    Py_XDECREF(entries);
    return packed;
}

static PyMethodDef methods[] = {
    {"pack", pack, METH_VARARGS,
     "Rows, the kinds of their columns and what stands before each value, the places of the key's cells, of the "
     "version and of is_deleted, where the first line begins → an entry of each row, and all lines."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "postwatch_core_lines", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_postwatch_core_lines(void)
{
    return PyModule_Create(&definition);
}
