// Language models of rnn-zoo for programs in C; docs/c.md explains them.
// Written by scripts/interop/header from src/capi; do not edit.

#ifndef RNN_ZOO_H
#define RNN_ZOO_H

#include <stddef.h>
#include <stdint.h>

// The result of a function. `rnn_zoo_last_error` has the message of any but `RNN_ZOO_CODE_OK`.
typedef enum RnnZooCode {
  // Done.
  RNN_ZOO_CODE_OK = 0,
  // A pointer is null, or a text is not UTF-8.
  RNN_ZOO_CODE_ARGUMENT = 1,
  // The bundle cannot be loaded.
  RNN_ZOO_CODE_BUNDLE = 2,
  // The model cannot do this: it is no language model, or its layers have no kernels for single steps.
  RNN_ZOO_CODE_UNSUITED = 3,
  // A token is not in the vocabulary, or an array has the wrong length.
  RNN_ZOO_CODE_RANGE = 4,
  // The network cannot compute the step.
  RNN_ZOO_CODE_COMPUTE = 5,
  // A defect of the library. The object that was called can only be freed.
  RNN_ZOO_CODE_PANIC = 6,
} RnnZooCode;

// A language model. Several threads may use one model at the same time; `rnn_zoo_model_free` must be the last use.
typedef struct RnnZooModel RnnZooModel;

// A text that a model reads token by token. One thread at a time may use a stream; it may move between threads. It
// keeps what it needs of its model.
typedef struct RnnZooStream RnnZooStream;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Return the message of the last function of this thread that failed; empty if none has. The text stays valid until
// another function of this thread fails, and is not to be freed.
const char *rnn_zoo_last_error(void);

// Return the version of the library, as `0.1.0`.
const char *rnn_zoo_version(void);

// Load the bundle in the folder `path`, UTF-8 text, onto the CPU. `*model` becomes the model, to be freed with
// `rnn_zoo_model_free`; after a failure it becomes null.
//
// # Safety
// `path` is null or ends with NUL; `model` is null or points to a pointer.
enum RnnZooCode rnn_zoo_model_load(const char *path, struct RnnZooModel **model);

// Free a model. Its streams stay valid. Null is ignored.
//
// # Safety
// `model` is null or a model that is not freed, which no thread uses any more.
void rnn_zoo_model_free(struct RnnZooModel *model);

// Return the number of tokens that the model knows, which is the number of scores of a step. 0 for null.
//
// # Safety
// `model` is null or a model that is not freed.
size_t rnn_zoo_model_vocabulary_size(const struct RnnZooModel *model);

// Set `*token` to the token that the model reads before the first token of a text.
//
// # Safety
// `model` is null or a model that is not freed; `token` is null or points to a number.
enum RnnZooCode rnn_zoo_model_start_token(const struct RnnZooModel *model, uint32_t *token);

// Encode the UTF-8 text `text` as tokens. `*count` becomes their number, also if it exceeds `capacity`; then nothing
// is copied, and the code is `RNN_ZOO_CODE_RANGE`.
//
// # Safety
// `model` is null or a model that is not freed; `text` is null or ends with NUL; `tokens` is null or has room for
// `capacity` numbers; `count` is null or points to a number.
enum RnnZooCode rnn_zoo_model_encode(const struct RnnZooModel *model,
                                     const char *text,
                                     uint32_t *tokens,
                                     size_t capacity,
                                     size_t *count);

// Copy the text of a token, with a NUL at its end, to `text`. `*length` becomes the number of bytes without the NUL,
// also if there is no room for them; then nothing is copied, and the code is `RNN_ZOO_CODE_RANGE`.
//
// # Safety
// `model` is null or a model that is not freed; `text` is null or has room for `capacity` bytes; `length` is null or
// points to a number.
enum RnnZooCode rnn_zoo_model_token_text(const struct RnnZooModel *model,
                                         uint32_t token,
                                         char *text,
                                         size_t capacity,
                                         size_t *length);

// Open a stream at the beginning of a text. `*stream` becomes the stream, to be closed with `rnn_zoo_stream_close`;
// after a failure it becomes null.
//
// # Safety
// `model` is null or a model that is not freed; `stream` is null or points to a pointer.
enum RnnZooCode rnn_zoo_stream_open(const struct RnnZooModel *model, struct RnnZooStream **stream);

// Close a stream. Null is ignored.
//
// # Safety
// `stream` is null or a stream that is not closed, which no thread uses any more.
void rnn_zoo_stream_close(struct RnnZooStream *stream);

// Read the next token of the text. The scores of the tokens that may follow are then ready.
//
// # Safety
// `stream` is null or a stream that is not closed, which no other thread uses.
enum RnnZooCode rnn_zoo_stream_step(struct RnnZooStream *stream, uint32_t token);

// Copy the scores (logits) of the tokens that may come next, one for each token of the vocabulary, to `scores`, which
// has room for `capacity` numbers.
//
// # Safety
// `stream` is null or a stream that is not closed, which no other thread uses; `scores` is null or has room for
// `capacity` numbers.
enum RnnZooCode rnn_zoo_stream_scores(struct RnnZooStream *stream, float *scores, size_t capacity);

// Copy the log-probabilities of the tokens that may come next, in nats, to `log_probabilities`, which has room for
// `capacity` numbers.
//
// # Safety
// As `rnn_zoo_stream_scores`.
enum RnnZooCode rnn_zoo_stream_log_probabilities(struct RnnZooStream *stream,
                                                 float *log_probabilities,
                                                 size_t capacity);

// Return the number of numbers in the state of a stream. 0 for null.
//
// # Safety
// `stream` is null or a stream that is not closed, which no other thread uses.
size_t rnn_zoo_stream_state_size(struct RnnZooStream *stream);

// Copy the state after the last token to `state`, which has room for `capacity` numbers: the hidden states of all
// layers, then their cell states, if the cell has them.
//
// # Safety
// `stream` is null or a stream that is not closed, which no other thread uses; `state` is null or has room for
// `capacity` numbers.
enum RnnZooCode rnn_zoo_stream_state(struct RnnZooStream *stream, float *state, size_t capacity);

// Continue from a state of a stream of the same model: `count` numbers as `rnn_zoo_stream_state` copies them. All zero
// is the beginning of a text. There are no scores until the next token is read.
//
// # Safety
// `stream` is null or a stream that is not closed, which no other thread uses; `state` is null or points to `count`
// numbers.
enum RnnZooCode rnn_zoo_stream_set_state(struct RnnZooStream *stream, const float *state, size_t count);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* RNN_ZOO_H */
