/* Rows → the buffers of their Arrow arrays, row by row: each cell is read once, while it is in the processor's cache.
 *
 * Invariant: what comes out is what pyarrow makes of the same rows, or an exception. Cells of another type than the
 * column's, and numbers out of its range, are refused; outcome_records.py then leaves the rows to pyarrow.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define MOST_COLUMNS 128

typedef struct {
    PyObject *bytes;
    char *at;
    Py_ssize_t used, room;
} Buffer;

typedef struct {
    char kind; /* 's' text; 'B' 'H' 'I' 'Q' unsigned and 'q' signed numbers, as in `struct`; 'L' texts; '(' rows */
    Py_ssize_t width;
    Buffer offsets, values;
    int32_t count; /* of what `offsets` counts, so far: bytes of a text, elements of a list */
    int parts;     /* of '(' and 'L': how many columns of its elements stand behind it */
} Column;

static int start(Buffer *buffer, Py_ssize_t room)
{
    room = room < 64 ? 64 : room;
    buffer->bytes = PyBytes_FromStringAndSize(NULL, room);
    if (!buffer->bytes)
        return -1;
    buffer->at = PyBytes_AS_STRING(buffer->bytes);
    buffer->used = 0;
    buffer->room = room;
    return 0;
}

static int grow(Buffer *buffer, Py_ssize_t more)
{
    Py_ssize_t room = buffer->room;
    while (room < buffer->used + more)
        room *= 2;
    if (_PyBytes_Resize(&buffer->bytes, room) < 0)
        return -1;
    buffer->at = PyBytes_AS_STRING(buffer->bytes);
    buffer->room = room;
    return 0;
}

static inline int put(Buffer *buffer, const void *from, Py_ssize_t size)
{
    if (buffer->used + size > buffer->room && grow(buffer, size) < 0)
        return -1;
    memcpy(buffer->at + buffer->used, from, (size_t)size);
    buffer->used += size;
    return 0;
}

static int put_end(Column *column, Py_ssize_t more)
{
    if (more > INT32_MAX - column->count) {
        PyErr_SetString(PyExc_OverflowError, "a column is larger than Arrow's offsets can tell");
        return -1;
    }
    column->count += (int32_t)more;
    return put(&column->offsets, &column->count, sizeof column->count);
}

static int refuse(PyObject *cell, char kind)
{
    PyErr_Format(PyExc_TypeError, "a cell of kind %c holds %R", kind, Py_TYPE(cell));
    return -1;
}

static int put_text(Column *column, PyObject *cell)
{
    const char *text;
    Py_ssize_t size;
    if (!PyUnicode_CheckExact(cell))
        return refuse(cell, column->kind);
    if (PyUnicode_IS_COMPACT_ASCII(cell)) {
        text = (const char *)PyUnicode_1BYTE_DATA(cell);
        size = PyUnicode_GET_LENGTH(cell);
    } else if (!(text = PyUnicode_AsUTF8AndSize(cell, &size))) {
        return -1;
    }
    return put(&column->values, text, size) < 0 ? -1 : put_end(column, size);
}

static int put_number(Column *column, PyObject *cell)
{
    uint64_t number;
    if (!PyLong_CheckExact(cell))
        return refuse(cell, column->kind);
    number = column->kind == 'q' ? (uint64_t)PyLong_AsLongLong(cell) : PyLong_AsUnsignedLongLong(cell);
    if (number == UINT64_MAX && PyErr_Occurred())
        return -1;
    if (column->width < 8 && number >> (8 * column->width)) {
        PyErr_SetString(PyExc_OverflowError, "a number is out of range");
        return -1;
    }
    switch (column->width) {
    case 1: { uint8_t narrow = (uint8_t)number; return put(&column->values, &narrow, 1); }
    case 2: { uint16_t narrow = (uint16_t)number; return put(&column->values, &narrow, 2); }
    case 4: { uint32_t narrow = (uint32_t)number; return put(&column->values, &narrow, 4); }
    default: return put(&column->values, &number, 8);
    }
}

static int begin_offsets(Column *column, Py_ssize_t rows)
{
    return start(&column->offsets, 4 * (rows + 1)) < 0 ? -1 : put_end(column, 0);
}

static int count_cells(const Column *columns, int first, int end)
{
    int cells = 0;
    for (int i = first; i < end; i += 1 + columns[i].parts)
        cells++;
    return cells;
}

static int put_row(Column *columns, int first, int end, PyObject *row);

static int put_list(Column *columns, Column *column, int first, PyObject *cell)
{
    PyObject *const *items;
    Py_ssize_t size;
    if (PyTuple_Check(cell)) {
        items = ((PyTupleObject *)cell)->ob_item;
        size = PyTuple_GET_SIZE(cell);
    } else if (PyList_Check(cell)) {
        items = ((PyListObject *)cell)->ob_item;
        size = PyList_GET_SIZE(cell);
    } else {
        return refuse(cell, column->kind);
    }
    for (Py_ssize_t i = 0; i < size; i++) {
        if (column->kind == 'L' ? put_text(&columns[first], items[i])
                                : put_row(columns, first, first + column->parts, items[i]))
            return -1;
    }
    return put_end(column, size);
}

static int put_row(Column *columns, int first, int end, PyObject *row)
{
    if (!PyTuple_Check(row))
        return refuse(row, '(');
    if (PyTuple_GET_SIZE(row) != count_cells(columns, first, end)) {
        PyErr_SetString(PyExc_TypeError, "a row has another number of cells than there are columns");
        return -1;
    }
    Py_ssize_t index = 0;
    for (int i = first; i < end; i += 1 + columns[i].parts, index++) {
        Column *column = &columns[i];
        PyObject *cell = PyTuple_GET_ITEM(row, index);
        if (column->kind == 's' ? put_text(column, cell)
            : column->width     ? put_number(column, cell)
                                : put_list(columns, column, i + 1, cell))
            return -1;
    }
    return 0;
}

/* The kinds, such as "sq(sH)L" → columns, with the elements of a list behind it. Returns their number, or -1. */
static int read_kinds(const char *kinds, Column *columns, Py_ssize_t rows)
{
    int count = 0, outer = -1;
    for (; *kinds; kinds++) {
        if (*kinds == ')' && outer >= 0) {
            columns[outer].parts = count - outer - 1;
            outer = -1;
            continue;
        }
        const char *known = strchr("sBHIQqL(", *kinds);
        if (!known || count + 2 > MOST_COLUMNS || (outer >= 0 && (*kinds == 'L' || *kinds == '('))) {
            PyErr_Format(PyExc_ValueError, "no such kinds: %s", kinds);
            return -1;
        }
        Column *column = &columns[count++];
        column->kind = *kinds;
        column->width = *kinds == 'B' ? 1 : *kinds == 'H' ? 2 : *kinds == 'I' ? 4 : *kinds == 'Q' || *kinds == 'q' ? 8 : 0;
        if (column->width ? start(&column->values, column->width * rows) : begin_offsets(column, rows))
            return -1;
        if (*kinds == 's' && start(&column->values, 16 * rows))
            return -1;
        if (*kinds == '(')
            outer = count - 1;
        if (*kinds == 'L') {
            column->parts = 1;
            column = &columns[count++];
            column->kind = 's';
            if (begin_offsets(column, 2 * rows) || start(&column->values, 256 * rows))
                return -1;
        }
    }
    if (outer >= 0) {
        PyErr_SetString(PyExc_ValueError, "a bracket of the kinds is not closed");
        return -1;
    }
    return count;
}

static int finish(Buffer *buffer, PyObject *found)
{
    if (!buffer->bytes)
        return 0;
    return _PyBytes_Resize(&buffer->bytes, buffer->used) < 0 ? -1 : PyList_Append(found, buffer->bytes);
}

static PyObject *fill(PyObject *module, PyObject *const *arguments, Py_ssize_t given)
{
    Column columns[MOST_COLUMNS];
    PyObject *found = NULL;
    memset(columns, 0, sizeof columns);
    if (given != 2 || !PyList_CheckExact(arguments[0]) || !PyUnicode_Check(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "fill(rows: list, kinds: str)");
        return NULL;
    }
    const char *kinds = PyUnicode_AsUTF8(arguments[1]);
    PyObject *rows = arguments[0];
    int count = kinds ? read_kinds(kinds, columns, PyList_GET_SIZE(rows)) : -1;
    if (count < 0)
        goto end;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(rows); i++)
        if (put_row(columns, 0, count, PyList_GET_ITEM(rows, i)))
            goto end;
    found = PyList_New(0);
    for (int i = 0; found && i < count; i++)
        if (finish(&columns[i].offsets, found) || finish(&columns[i].values, found))
            Py_CLEAR(found);
end:
    for (int i = 0; i < MOST_COLUMNS; i++) {
        Py_CLEAR(columns[i].offsets.bytes);
        Py_CLEAR(columns[i].values.bytes);
    }
    return found;
}

static PyMethodDef methods[] = {
    {"fill", (PyCFunction)(void (*)(void))fill, METH_FASTCALL,
     "Rows, and the kinds of their columns → the buffers of each column in turn: offsets, where it has any, and values."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "postwatch_core_rows", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_postwatch_core_rows(void)
{
    return PyModule_Create(&definition);
}
