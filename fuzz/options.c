/*
 * The command line of the program: a word of arguments a line, for a command with rows of each form, up to the
 * Preconnection it makes; nothing is opened and nobody is called. What is refused is said, in lines, and what is taken
 * is said nothing about. Files that are named are two of our own, whatever the name.
 */
#include "options.h"
#include <stdio.h>
#include <unistd.h>
#include "complain.h"
#include "input.h"
#include "message.h"
#include "stack/secure/test_certificates.h"
#include "support.h"

#define WORDS 48

int LLVMFuzzerInitialize(int *argc, char ***argv);

struct own {
    unsigned flags;
    const char *value;
    uint64_t count;
};

static int take_flag(void *target, const char *value)
{
    (void)value;
    ((struct own *)target)->flags++;
    return DONE;
}

static int take_value(void *target, const char *value)
{
    ((struct own *)target)->value = value;
    return DONE;
}

static int take_count(void *target, const char *value)
{
    if (!options_number(value, UINT64_MAX, &((struct own *)target)->count))
        return complain_usage("-n takes a number, not '%s'", value);
    return DONE;
}

static const struct option_row rows[] = {
    {'l', "listen", NULL, "a flag", take_flag},
    {'k', NULL, NULL, "a flag without a name", take_flag},
    {0, "idle", "SECONDS", "a value without a letter", take_value},
    {'n', "count", "N", "both", take_count},
    {0, NULL, NULL, NULL, NULL},
};

static const struct command command = {.name = "try",
                                       .arguments = "HOST:PORT",
                                       .summary = "",
                                       .description = "For tests.\n",
                                       .options = rows,
                                       .common = true,
                                       .messages = true};

static char good_file[64], bad_file[64], keys_file[64];
static FILE *files[3];

static void make_file(char *path, size_t size, int which, const char *text)
{
    files[which] = tmpfile();
    if (!files[which] || fputs(text, files[which]) < 0 || fflush(files[which]) != 0)
        abort();
    snprintf(path, size, "/proc/self/fd/%d", fileno(files[which]));
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct tapsi_test_subject subject = {.name = "somebody", .authority = true, .steady = true};
    struct tapsi_test_identity id = tapsi_test_identity(&subject, NULL);
    char *both = malloc(strlen(id.certificate) + strlen(id.key) + 1);
    (void)argc;
    (void)argv;
    if (!both)
        abort();
    sprintf(both, "%s%s", id.certificate, id.key);
    make_file(good_file, sizeof(good_file), 0, both);
    make_file(bad_file, sizeof(bad_file), 1, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    keys_file[0] = '@';
    make_file(keys_file + 1, sizeof(keys_file) - 1, 2, "# who\n\nme:00112233445566778899aabbccddeeff\nyou:00\n");
    free(both);
    tapsi_test_identity_free(&id);
    return 0;
}

/* Which file is meant depends on the name's length alone; an odd one is not there at all. */
static const char *file_for(const char *name)
{
    static const char missing[] = "/nonexistent/file";
    const char *const choices[] = {good_file, bad_file, missing, good_file};
    return name ? choices[strlen(name) % 4] : NULL;
}

static void make_contexts(const struct options *options)
{
    taps_message_context *plain = NULL, *final = NULL;
    int code = message_context(options, &plain), same = message_final_context(options, &final);
    CHECK(code == DONE || code == USAGE);
    CHECK_INT(code, same);
    CHECK((plain != NULL) == (code == DONE && options->message.properties.count + options->message.metadata.count > 0));
    CHECK((final != NULL) == (code == DONE));
    taps_message_context_free(plain);
    taps_message_context_free(final);
}

/* Nothing is written, and no file is read but those above. GnuTLS 3.7 leaks a certificate that it cannot read. */
static void point_at_files(struct options *options)
{
    options->cafile = file_for(options->cafile);
    for (size_t i = 0; i < options->pins.count; i++)
        if (strncmp(options->pins.items[i], "sha256//", 8) != 0)
            options->pins.items[i] = file_for(options->pins.items[i]);
    for (size_t i = 0; i < options->psks.count; i++)
        if (options->psks.items[i][0] == '@')
            options->psks.items[i] = strlen(options->psks.items[i]) % 2 ? "@/nonexistent/file" : keys_file;
    if (options->cert)
        options->cert = strlen(options->cert) % 2 ? "/nonexistent/file" : good_file;
    if (options->client_cert)
        options->client_cert = strlen(options->client_cert) % 2 ? "/nonexistent/file" : good_file;
    options->key = file_for(options->key);
    options->client_key = file_for(options->client_key);
    options->password_file = file_for(options->password_file);
    if (options->key_log)
        options->key_log = strlen(options->key_log) % 2 ? "/nonexistent/file" : "/dev/null";
    if (options->session_file)
        options->session_file = "/nonexistent/file";
}

static void make_all(struct options *options, bool listening)
{
    taps_context *context = NULL;
    taps_preconnection *preconnection = NULL;
    point_at_files(options);
    int code = options_context(options, &context);
    CHECK((code == DONE) == (context != NULL));
    if (code != DONE)
        return;
    if (options->argument_count)
        code = options_preconnection(options, context, options->arguments[0], listening, options->verbose > 0,
                                     &preconnection);
    CHECK(options->argument_count == 0 || (code == DONE) == (preconnection != NULL));
    taps_preconnection_free(preconnection);
    CHECK_INT(taps_context_free(context), 0);
    (void)code;
}

static int run(int argc, char **argv)
{
    struct options options;
    struct own own = {0};
    complain_as("try");
    int code = options_parse(&options, &own, &command, argc, argv);
    CHECK(code == OPTIONS_RUN || code == DONE || code == USAGE);
    if (code != OPTIONS_RUN)
        return code;
    CHECK(options.argument_count <= 2);
    CHECK(options.properties.count <= OPTIONS_LIST_MAX && options.alpn.count <= OPTIONS_LIST_MAX);
    CHECK(options.message.properties.count <= OPTIONS_LIST_MAX && options.message.size <= MESSAGE_SIZE_MAX);
    CHECK(options.message.rate.per_second >= 0 && options.message.rate.per_second <= 1e12);
    CHECK(options.family == 0 || options.family == 4 || options.family == 6);
    fflush(stderr);
    make_contexts(&options);
    make_all(&options, own.flags > 0);
    return code;
}

/* What goes to standard error, kept in memory meanwhile. */
static int run_quietly(int argc, char **argv, char **ret_said)
{
    FILE *out = stdout, *err = stderr, *null = fopen("/dev/null", "we");
    size_t length;
    FILE *said = open_memstream(ret_said, &length);
    if (!said || !null)
        abort();
    stdout = null;
    stderr = said;
    int code = run(argc, argv);
    stdout = out;
    stderr = err;
    fclose(said);
    fclose(null);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_input(data, size);
    char *words[WORDS + 2], *said;
    int count = 0;
    fuzz_begin();
    words[count++] = fuzz_copy("try", 3);
    while (count <= WORDS && in.left)
        words[count++] = fuzz_line(&in);
    words[count] = NULL;
    int code = run_quietly(count, words, &said);
    if (code == USAGE) {
        CHECK(said[0] && said[strlen(said) - 1] == '\n');
    } else if (code == DONE) {
        CHECK_TEXT(said, "");
    }
    free(said);
    while (count > 0)
        free(words[--count]);
    return 0;
}
