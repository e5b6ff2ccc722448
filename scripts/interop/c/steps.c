/* Read tokens one by one and write the scores after each: steps BUNDLE TOKENS SCORES.
 *
 * TOKENS has numbers of 32 bits, SCORES gets floats. In the middle the state moves to a second stream, which goes on.
 * scripts/interop/c/run compares the scores with those of the library, to the bit. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "rnn_zoo.h"

/* End the program with the library's message if a call has failed. */
static void check(RnnZooCode code) {
    if (code != RNN_ZOO_CODE_OK) {
        fprintf(stderr, "steps: %s (code %d)\n", rnn_zoo_last_error(), (int)code);
        exit(1);
    }
}

/* Return memory for `count` floats. */
static float *floats(size_t count) {
    float *numbers = malloc(count * sizeof *numbers);
    if (numbers == NULL) {
        fputs("steps: out of memory\n", stderr);
        exit(1);
    }
    return numbers;
}

/* Return a new stream that goes on where `stream` is, and close `stream`. */
static RnnZooStream *continued(const RnnZooModel *model, RnnZooStream *stream) {
    size_t size = rnn_zoo_stream_state_size(stream);
    float *state = floats(size);
    RnnZooStream *next;
    check(rnn_zoo_stream_state(stream, state, size));
    check(rnn_zoo_stream_open(model, &next));
    check(rnn_zoo_stream_set_state(next, state, size));
    rnn_zoo_stream_close(stream);
    free(state);
    return next;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fputs("usage: steps BUNDLE TOKENS SCORES\n", stderr);
        return 2;
    }
    FILE *tokens = fopen(argv[2], "rb"), *out = fopen(argv[3], "wb");
    if (tokens == NULL || out == NULL) {
        perror("steps");
        return 1;
    }
    RnnZooModel *model;
    RnnZooStream *stream;
    check(rnn_zoo_model_load(argv[1], &model));
    check(rnn_zoo_stream_open(model, &stream));
    size_t count = rnn_zoo_model_vocabulary_size(model);
    float *scores = floats(count);
    uint32_t token;
    for (size_t step = 0; fread(&token, sizeof token, 1, tokens) == 1; step++) {
        if (step == 5000) {
            stream = continued(model, stream);
        }
        check(rnn_zoo_stream_step(stream, token));
        check(rnn_zoo_stream_scores(stream, scores, count));
        if (fwrite(scores, sizeof *scores, count, out) != count) {
            perror("steps");
            return 1;
        }
    }
    rnn_zoo_stream_close(stream);
    rnn_zoo_model_free(model);
    free(scores);
    fclose(tokens);
    return fclose(out) == 0 ? 0 : 1;
}
