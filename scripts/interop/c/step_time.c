/* Print the microseconds of one step, the median over blocks: step_time BUNDLE.
 *
 * A step reads a token and copies the scores. scripts/interop/c/time runs it beside ONNX Runtime. */

#define _POSIX_C_SOURCE 199309L
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "rnn_zoo.h"

enum { BLOCKS = 200, STEPS = 500 };

static void check(RnnZooCode code) {
    if (code != RNN_ZOO_CODE_OK) {
        fprintf(stderr, "step_time: %s (code %d)\n", rnn_zoo_last_error(), (int)code);
        exit(1);
    }
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fputs("usage: step_time BUNDLE\n", stderr);
        return 2;
    }
    RnnZooModel *model;
    RnnZooStream *stream;
    check(rnn_zoo_model_load(argv[1], &model));
    check(rnn_zoo_stream_open(model, &stream));
    size_t count = rnn_zoo_model_vocabulary_size(model);
    float *scores = malloc(count * sizeof *scores);
    if (scores == NULL) {
        fputs("step_time: out of memory\n", stderr);
        return 1;
    }
    double blocks[BLOCKS];
    for (int block = 0; block < BLOCKS; block++) {
        double start = seconds();
        for (int step = 0; step < STEPS; step++) {
            check(rnn_zoo_stream_step(stream, (uint32_t)((size_t)step % count)));
            check(rnn_zoo_stream_scores(stream, scores, count));
        }
        blocks[block] = (seconds() - start) / STEPS;
    }
    qsort(blocks, BLOCKS, sizeof *blocks, ascending);
    printf("%.2f\n", 1e6 * blocks[BLOCKS / 2]);
    free(scores);
    rnn_zoo_stream_close(stream);
    rnn_zoo_model_free(model);
    return 0;
}
