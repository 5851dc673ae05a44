/*
 * taps: connects, listens and explains, on the command line. This file finds the subcommand and prints the help.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <taps/taps.h>

#include "command.h"
#include "complain.h"
#include "options.h"
#include "term.h"

static const struct command *const commands[] = {&probe_command, &cat_command, &serve_command, &bench_command,
                                                 &demo_command};
enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static void print_usage(FILE *out)
{
    fprintf(
        out,
        "usage: taps COMMAND [OPTIONS] [ARGUMENTS]\n\n"
        "Transport services: says what a connection must be able to do, and lets the library find the best way.\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  taps %-6s %-20s %s\n", commands[i]->name, commands[i]->arguments ? commands[i]->arguments : "",
                commands[i]->summary);
    fprintf(out, "\n  taps help COMMAND           explains a command and its options\n"
                 "  taps help properties        lists every property with its values and default\n"
                 "  taps --version              prints the version\n"
                 "\nStart with `taps demo`: it needs no network and no configuration.\n");
}

static const char *value_names(const struct taps_property_info *info, char *text, size_t size)
{
    size_t used = 0;

    switch (info->type) {
    case TAPS_TYPE_PREFERENCE:
        return "preference";
    case TAPS_TYPE_BOOLEAN:
        return "true | false";
    case TAPS_TYPE_INTEGER:
        return "integer";
    case TAPS_TYPE_NUMBER:
        return "number";
    case TAPS_TYPE_SET:
        return "set of PREFERENCE NAME";
    case TAPS_TYPE_ENUMERATION:
        break;
    }
    text[0] = '\0';
    for (size_t i = 0; info->values && info->values[i] && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? " | " : "", info->values[i]);
    return text;
}

static void print_properties(void)
{
    static const char *const scopes[] = {"Selection properties: decide which stacks and paths are eligible",
                                         "Connection properties", "Read-only properties of a connection",
                                         "Message properties: here, the defaults of every message"};
    struct term term;

    term_init(&term, stdout);
    fputs("Set with -p NAME=VALUE. Names and values are case-insensitive; a preference is one of\n"
          "require, prefer, no preference, avoid, prohibit.\n",
          stdout);
    for (enum taps_scope scope = TAPS_SCOPE_SELECTION; scope <= TAPS_SCOPE_MESSAGE; scope++) {
        term_heading(&term, scopes[scope]);
        for (enum taps_property i = 1; i < TAPS_PROPERTY_COUNT; i++) {
            const struct taps_property_info *info = taps_property_info(i);
            char values[512], line[1024];

            if (!info || info->scope != scope)
                continue;
            snprintf(line, sizeof line, "%s; default %s; %s", value_names(info, values, sizeof values),
                     *info->default_text ? info->default_text : "empty", info->section);
            printf("%s%s%s\n    ", term_ink(&term, INK_HEAD), info->name, term_ink(&term, INK_PLAIN));
            term_wrap(&term, line, 4);
            fputs("    ", stdout);
            term_wrap(&term, info->summary, 4);
        }
    }
}

static int help(int argc, char **argv)
{
    const struct command *command;

    if (argc > 2)
        return complain_usage("help explains one command at a time");
    if (argc < 2) {
        print_usage(stdout);
        return finish_output();
    }
    if (strcmp(argv[1], "properties") == 0) {
        print_properties();
        return finish_output();
    }
    command = find_command(argv[1]);
    if (!command)
        return complain_usage("there is no command '%s' to explain", argv[1]);
    options_help(command);
    return finish_output();
}

/* A closed standard descriptor would be given to the next socket, and output would go to the peer. Reading from the one
   that stands for input, and writing to those of output, fails as it should. */
static int keep_standard_descriptors(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
            return FAILED;
    return DONE;
}

int main(int argc, char **argv)
{
    const struct command *command;

    if (keep_standard_descriptors() != DONE)
        return FAILED;
    signal(SIGPIPE, SIG_IGN);
    setlocale(LC_CTYPE, "");
    if (argc < 2) {
        print_usage(stderr);
        return USAGE;
    }
    if (strcmp(argv[1], "help") == 0)
        return help(argc - 1, argv + 1);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return help(1, argv);
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        printf("taps %s\n", taps_version());
        return finish_output();
    }
    command = find_command(argv[1]);
    if (!command)
        return complain_usage("there is no command '%s'", argv[1]);
    complain_as(command->name);
    return command->run(command, argc - 1, argv + 1);
}
