/* Memory for Python's small objects in huge pages: a message's objects lie far apart, and the processor knows the places
 * of some thousand pages at a time.
 *
 * Invariant: each arena is a mapping that munmap() gives back, as those of Python itself are on Linux, so arenas of both
 * kinds may be freed by either.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#if defined(MADV_HUGEPAGE) && defined(MAP_ANONYMOUS)
#define HUGE_PAGE ((size_t)2 << 20)

/* What is left of the last huge page. Python holds its lock while it asks for an arena. */
static char *left;
static size_t left_size;

static int map_page(size_t size)
{
    size_t whole = (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    char *mapped = mmap(NULL, whole + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED)
        return -1;
    size_t before = (HUGE_PAGE - (uintptr_t)mapped % HUGE_PAGE) % HUGE_PAGE;
    if (before)
        munmap(mapped, before);
    munmap(mapped + before + whole, HUGE_PAGE - before);
    if (left_size)
        munmap(left, left_size);
    left = mapped + before;
    left_size = whole;
    madvise(left, whole, MADV_HUGEPAGE); /* a kernel that has none goes on with small ones */
    return 0;
}

static void *take_arena(void *context, size_t size)
{
    if (left_size < size && map_page(size))
        return NULL;
    char *arena = left;
    left += size;
    left_size -= size;
    return arena;
}

static void give_arena(void *context, void *arena, size_t size)
{
    munmap(arena, size);
}

static PyObject *use(PyObject *module, PyObject *nothing)
{
    PyObjectArenaAllocator allocator = {NULL, take_arena, give_arena};
    PyObject_SetArenaAllocator(&allocator);
    Py_RETURN_TRUE;
}
#else
static PyObject *use(PyObject *module, PyObject *nothing)
{
    Py_RETURN_FALSE;
}
#endif

static PyMethodDef methods[] = {
    {"use", use, METH_NOARGS, "From now on Python's new arenas lie in huge pages. Returns whether this system has them."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "postwatch_core_pages", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_postwatch_core_pages(void)
{
    return PyModule_Create(&definition);
}
