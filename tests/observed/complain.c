/* The observer in a program that is no test: whoever sees it fail must notice. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/test.h"

void tapsi_test_fail(const char *file, int line, const char *format, ...)
{
    va_list args;
    fprintf(stderr, "%s: ", file);
    (void)line;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}
