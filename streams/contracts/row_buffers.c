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

/* Rows that were added and not taken yet. */
typedef struct {
    PyObject_HEAD
    PyObject *kinds;
    int count; /* of the columns; 0: no rows were added */
    Column columns[MOST_COLUMNS];
} Rows;

static void drop(Rows *self)
{
    for (int i = 0; i < MOST_COLUMNS; i++) {
        Py_CLEAR(self->columns[i].offsets.bytes);
        Py_CLEAR(self->columns[i].values.bytes);
    }
    self->count = 0;
}

static PyObject *rows_new(PyTypeObject *type, PyObject *arguments, PyObject *named)
{
    PyObject *kinds;
    if (!PyArg_ParseTuple(arguments, "U:Rows", &kinds))
        return NULL;
    Rows *self = (Rows *)type->tp_alloc(type, 0);
    if (self) {
        Py_INCREF(kinds);
        self->kinds = kinds;
    }
    return (PyObject *)self;
}

static void rows_dealloc(Rows *self)
{
    PyTypeObject *type = Py_TYPE(self);
    drop(self);
    Py_CLEAR(self->kinds);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

/* Where a column ends. */
typedef struct {
    Py_ssize_t offsets, values;
    int32_t count;
} End;

static int put_rows(Rows *self, PyObject *rows)
{
    End ends[MOST_COLUMNS];
    for (int i = 0; i < self->count; i++) {
        Column *column = &self->columns[i];
        ends[i] = (End){column->offsets.used, column->values.used, column->count};
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(rows); i++) {
        if (!put_row(self->columns, 0, self->count, PyList_GET_ITEM(rows, i)))
            continue;
        for (int j = 0; j < self->count; j++) {
            Column *column = &self->columns[j];
            column->offsets.used = ends[j].offsets;
            column->values.used = ends[j].values;
            column->count = ends[j].count;
        }
        return -1;
    }
    return 0;
}

static PyObject *rows_add(Rows *self, PyObject *rows)
{
    if (!PyList_CheckExact(rows)) {
        PyErr_SetString(PyExc_TypeError, "add(rows: list)");
        return NULL;
    }
    if (!self->count) {
        const char *kinds = PyUnicode_AsUTF8(self->kinds);
        memset(self->columns, 0, sizeof self->columns);
        int count = kinds ? read_kinds(kinds, self->columns, PyList_GET_SIZE(rows)) : -1;
        if (count < 0) {
            drop(self);
            return NULL;
        }
        self->count = count;
    }
    if (put_rows(self, rows) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static int finish(Buffer *buffer, PyObject *found)
{
    if (!buffer->bytes)
        return 0;
    return _PyBytes_Resize(&buffer->bytes, buffer->used) < 0 ? -1 : PyList_Append(found, buffer->bytes);
}

static PyObject *rows_take(Rows *self, PyObject *nothing)
{
    PyObject *found = PyList_New(0);
    for (int i = 0; found && i < self->count; i++)
        if (finish(&self->columns[i].offsets, found) || finish(&self->columns[i].values, found))
            Py_CLEAR(found);
    drop(self);
    return found;
}

static PyMethodDef rows_methods[] = {
    {"add", (PyCFunction)rows_add, METH_O, "A list of rows: all of them are added, or none."},
    {"take", (PyCFunction)rows_take, METH_NOARGS,
     "The buffers of each column in turn: offsets, where it has any, and values. The next rows begin anew."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot rows_slots[] = {
    {Py_tp_dealloc, rows_dealloc},
    {Py_tp_methods, rows_methods},
    {Py_tp_new, rows_new},
    {Py_tp_doc, "Rows(kinds): rows that become Arrow arrays, by the kinds of their columns."},
    {0, NULL},
};

static PyType_Spec rows_spec = {"postwatch_core_rows.Rows", sizeof(Rows), 0, Py_TPFLAGS_DEFAULT, rows_slots};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "postwatch_core_rows", NULL, 0, NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_postwatch_core_rows(void)
{
    PyObject *module = PyModule_Create(&definition);
    PyObject *type = module ? PyType_FromSpec(&rows_spec) : NULL;
    if (!type || PyModule_AddObjectRef(module, "Rows", type) < 0)
        Py_CLEAR(module);
    Py_XDECREF(type);
    return module;
}
