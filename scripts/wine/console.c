/* bcryptprimitives.dll for Wine 8, which lacks it: the one function that claude.exe and pywinpty need of it.
 *
 * Wine's console also knows no virtual terminal: escapes land in its cells as characters. This library is loaded into
 * claude.exe anyway. So where WINE_CONSOLE_TEE names a pipe, what the program writes on its console, and the title that it
 * sets, go to that pipe as they are, as through a real pseudo console. `console.py` reads the other end.
 */
#include <windows.h>
#include <winternl.h>
#include <string.h>

#define PIECE_MAX_BYTES 65536
#define TITLE_MAX_BYTES 4096

BOOLEAN WINAPI SystemFunction036(PVOID, ULONG); /* RtlGenRandom */

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T left) {
    while (left) {
        ULONG piece = left > PIECE_MAX_BYTES ? PIECE_MAX_BYTES : (ULONG)left;
        if (!SystemFunction036(data, piece)) return FALSE;
        data += piece;
        left -= piece;
    }
    return TRUE;
}

static HANDLE tee = INVALID_HANDLE_VALUE;
typedef NTSTATUS(NTAPI *NtWrite)(HANDLE, HANDLE, PVOID, PVOID, PIO_STATUS_BLOCK, PVOID, ULONG, PLARGE_INTEGER, PULONG);
static NtWrite real_nt_write;

static BOOL is_screen(HANDLE handle) {
    CONSOLE_SCREEN_BUFFER_INFO info;
    DWORD error = GetLastError();
    BOOL found = tee != INVALID_HANDLE_VALUE && handle != tee && GetFileType(handle) == FILE_TYPE_CHAR &&
                 GetConsoleScreenBufferInfo(handle, &info);
    SetLastError(error);
    return found;
}

static void put(const void *data, DWORD left) {
    const BYTE *next = data;
    DWORD written;
    while (left && WriteFile(tee, next, left, &written, NULL)) {
        next += written;
        left -= written;
    }
}

static BOOL WINAPI write_file(HANDLE handle, LPCVOID data, DWORD size, LPDWORD written, LPOVERLAPPED overlapped) {
    if (!is_screen(handle)) return WriteFile(handle, data, size, written, overlapped);
    put(data, size);
    if (written) *written = size;
    return TRUE;
}

static BOOL WINAPI write_console(HANDLE handle, const void *text, DWORD size, LPDWORD written, LPVOID reserved) {
    char utf8[PIECE_MAX_BYTES];
    if (!is_screen(handle)) return WriteConsoleW(handle, text, size, written, reserved);
    DWORD taken = size > PIECE_MAX_BYTES / 4 ? PIECE_MAX_BYTES / 4 : size;
    put(utf8, WideCharToMultiByte(CP_UTF8, 0, text, taken, utf8, sizeof utf8, 0, 0));
    if (written) *written = taken;
    return TRUE;
}

static NTSTATUS NTAPI nt_write(HANDLE handle, HANDLE event, PVOID apc, PVOID context, PIO_STATUS_BLOCK status, PVOID data,
                               ULONG size, PLARGE_INTEGER offset, PULONG key) {
    if (!is_screen(handle)) return real_nt_write(handle, event, apc, context, status, data, size, offset, key);
    put(data, size);
    status->Status = 0;
    status->Information = size;
    if (event) SetEvent(event);
    return 0;
}

static BOOL WINAPI set_title(LPCWSTR title) { /* a pseudo console makes OSC 0 of it */
    char text[TITLE_MAX_BYTES] = "\x1b]0;";
    int size = WideCharToMultiByte(CP_UTF8, 0, title, -1, text + 4, sizeof text - 5, 0, 0);
    if (size > 0) {
        text[3 + size] = '\a';
        put(text, 4 + size);
    }
    return SetConsoleTitleW(title);
}

static void *instead_of(const char *name) {
    if (!strcmp(name, "WriteFile")) return write_file;
    if (!strcmp(name, "WriteConsoleW")) return write_console;
    if (!strcmp(name, "SetConsoleTitleW")) return set_title;
    if (!strcmp(name, "NtWriteFile")) return nt_write;
    return NULL;
}

static void replace(IMAGE_THUNK_DATA *import, void *function) {
    DWORD protection;
    if (function == (void *)nt_write) real_nt_write = (NtWrite)import->u1.Function;
    VirtualProtect(&import->u1.Function, sizeof import->u1.Function, PAGE_READWRITE, &protection);
    import->u1.Function = (ULONG_PTR)function;
    VirtualProtect(&import->u1.Function, sizeof import->u1.Function, protection, &protection);
}

static void hook_program(void) {
    BYTE *base = (BYTE *)GetModuleHandleW(NULL);
    IMAGE_NT_HEADERS *headers = (void *)(base + ((IMAGE_DOS_HEADER *)base)->e_lfanew);
    IMAGE_DATA_DIRECTORY *where = &headers->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_IMPORT];
    for (IMAGE_IMPORT_DESCRIPTOR *library = (void *)(base + where->VirtualAddress); library->Name; library++) {
        IMAGE_THUNK_DATA *name = (void *)(base + library->OriginalFirstThunk), *import = (void *)(base + library->FirstThunk);
        for (; name->u1.AddressOfData; name++, import++) {
            if (IMAGE_SNAP_BY_ORDINAL(name->u1.Ordinal)) continue;
            void *function = instead_of((char *)((IMAGE_IMPORT_BY_NAME *)(base + name->u1.AddressOfData))->Name);
            if (function) replace(import, function);
        }
    }
}

BOOL WINAPI DllMain(HINSTANCE library, DWORD reason, LPVOID reserved) {
    char name[260];
    if (reason != DLL_PROCESS_ATTACH || !GetEnvironmentVariableA("WINE_CONSOLE_TEE", name, sizeof name)) return TRUE;
    tee = CreateFileA(name, GENERIC_WRITE, 0, 0, OPEN_EXISTING, 0, 0);
    SetEnvironmentVariableA("WINE_CONSOLE_TEE", 0); /* for this program alone */
    if (tee != INVALID_HANDLE_VALUE) hook_program();
    return TRUE;
}
