/*
 * Runs a target on files without libFuzzer, with any compiler: every file of the folders and every file named. Prints
 * TAP: a line for each folder that says how many inputs it was, and one for each input that once found something
 * ("found-...") and for each file named. An input that crashes or fails a check is said before the program dies of it.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "input.h"

void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static const char *program;
static char last_words[1024];
static size_t last_words_length;

static void say_last_words(void)
{
    ssize_t written = write(STDOUT_FILENO, last_words, last_words_length);
    (void)written;
    last_words_length = 0;
}

static void on_signal(int number)
{
    say_last_words();
    signal(number, SIG_DFL);
    raise(number);
}

static void listen_for_death(void)
{
    static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(say_last_words);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        if (__sanitizer_set_death_callback == NULL || signals[i] == SIGABRT)
            signal(signals[i], on_signal);
    }
}

static void run_file(const char *path, unsigned number)
{
    int length =
        snprintf(last_words, sizeof(last_words), "# died; again: %s %s\nnot ok %u - %s\n", program, path, number, path);
    last_words_length = (size_t)length < sizeof(last_words) ? (size_t)length : sizeof(last_words) - 1;
    FILE *file = fopen(path, "rbe");
    struct stat status;
    if (!file || fstat(fileno(file), &status) < 0) {
        perror(path);
        exit(2);
    }
    size_t size = (size_t)status.st_size;
    uint8_t *data = malloc(size ? size : 1);
    if (!data || fread(data, 1, size, file) != size) {
        perror(path);
        exit(2);
    }
    fclose(file);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    last_words_length = 0;
}

static int is_input(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static bool is_found(const char *name)
{
    return strncmp(name, "found-", 6) == 0;
}

/* Its inputs with names of their own, or all others; `run` false only counts them. Returns how many. */
static unsigned walk(const char *path, bool found, unsigned number, bool run)
{
    struct dirent **entries;
    unsigned seen = 0;
    int count = scandir(path, &entries, is_input, alphasort);
    if (count < 0) {
        perror(path);
        exit(2);
    }
    for (int i = 0; i < count; i++) {
        char file[4096];
        if (is_found(entries[i]->d_name) == found) {
            snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
            if (run)
                run_file(file, found ? number + seen : number);
            if (run && found)
                printf("ok %u - %s\n", number + seen, entries[i]->d_name);
            seen++;
        }
        free(entries[i]);
    }
    free(entries);
    return seen;
}

static bool is_folder(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static unsigned run_folder(const char *path, unsigned number)
{
    unsigned ran = walk(path, false, number, true);
    printf("%s %u - %u inputs\n", ran ? "ok" : "not ok", number, ran);
    return 1 + walk(path, true, number + 1, true);
}

int main(int argc, char **argv)
{
    unsigned planned = 0, number = 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    program = argv[0];
    listen_for_death();
    if (LLVMFuzzerInitialize)
        LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++)
        planned += is_folder(argv[i]) ? 1 + walk(argv[i], true, 0, false) : 1;
    printf("1..%u\n", planned);
    for (int i = 1; i < argc; i++) {
        if (is_folder(argv[i])) {
            number += run_folder(argv[i], number);
        } else {
            run_file(argv[i], number);
            printf("ok %u - %s\n", number++, argv[i]);
        }
    }
    return 0;
}
