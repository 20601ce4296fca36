/* python.exe for Wine: the wheel that ships the official python3XX.dll (see scripts/wine-test) has no program that starts it. */
#include <windows.h>

int wmain(int argc, wchar_t **argv) {
    HMODULE python = LoadLibraryW(PYTHON_DLL);
    if (!python) return 99;
    int (*run)(int, wchar_t **) = (void *)GetProcAddress(python, "Py_Main");
    return run ? run(argc, argv) : 98;
}
