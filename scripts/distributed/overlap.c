/* Time the exchange of a gradient between two processes beside a computation: one after the other, and at once with the
 * non-blocking calls of MPI. See the script `overlap`.
 *
 * Usage: overlap NUMBERS MILLISECONDS ROUNDS. Prints a line of Markdown per way, medians in milliseconds. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

enum { WAYS = 6, WIDTH = 4096 };

static const char *const NAMES[WAYS] = {
    "computation alone",
    "exchange alone",
    "one after the other",
    "at once, `MPI_Isend` and `MPI_Irecv`",
    "at once, `MPI_Iallreduce`",
    "at once, `MPI_Iallreduce` and `MPI_Testall` every millisecond",
};

static float own[WIDTH];
static float *sent, *received;
static int numbers, other;

/* Multiply and add in the first cache for so many passes. Not inlined, so that every way runs the same loop. */
static __attribute__((noinline)) void compute(long passes) {
  for (long pass = 0; pass < passes; pass++)
    for (int i = 0; i < WIDTH; i++) own[i] = own[i] * 0.999f + 0.001f;
}

/* The two requests of a non-blocking exchange of all numbers. */
static void start(MPI_Request requests[2], int reduces) {
  requests[1] = MPI_REQUEST_NULL;
  if (reduces) {
    MPI_Iallreduce(sent, received, numbers, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD, &requests[0]);
  } else {
    MPI_Irecv(received, numbers, MPI_FLOAT, other, 0, MPI_COMM_WORLD, &requests[0]);
    MPI_Isend(sent, numbers, MPI_FLOAT, other, 0, MPI_COMM_WORLD, &requests[1]);
  }
}

static void finish(MPI_Request requests[2], int adds) {
  MPI_Waitall(2, requests, MPI_STATUSES_IGNORE);
  if (adds)
    for (int i = 0; i < numbers; i++) received[i] += sent[i];
}

/* Milliseconds of one round, those of the slower process. */
static double lap(int way, long passes, int milliseconds) {
  MPI_Request requests[2];
  int reduces = way >= 4, done;
  MPI_Barrier(MPI_COMM_WORLD);
  double began = MPI_Wtime();
  if (way == 0) {
    compute(passes);
  } else if (way <= 2) {
    if (way == 2) compute(passes);
    start(requests, reduces);
    finish(requests, !reduces);
  } else {
    start(requests, reduces);
    for (int slice = 0; way == 5 && slice < milliseconds; slice++) {
      compute(passes / milliseconds);
      MPI_Testall(2, requests, &done, MPI_STATUSES_IGNORE);
    }
    if (way != 5) compute(passes);
    finish(requests, !reduces);
  }
  double took = (MPI_Wtime() - began) * 1e3, longest;
  MPI_Allreduce(&took, &longest, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
  return longest;
}

static int ascending(const void *one, const void *two) {
  double difference = *(const double *)one - *(const double *)two;
  return (difference > 0) - (difference < 0);
}

int main(int count, char **arguments) {
  MPI_Init(&count, &arguments);
  int rank, milliseconds = atoi(arguments[2]), rounds = atoi(arguments[3]);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  numbers = atoi(arguments[1]);
  other = 1 - rank;
  sent = calloc(numbers, sizeof *sent);
  received = calloc(numbers, sizeof *received);
  for (int i = 0; i < numbers; i++) sent[i] = received[i] = rank + 1;
  /* The passes of so many milliseconds, the same in both processes. */
  double fastest = 1e9;
  for (int round = 0; round < 20; round++) {
    double began = MPI_Wtime();
    compute(50000);
    double took = (MPI_Wtime() - began) * 1e3;
    if (took < fastest) fastest = took;
  }
  long passes = (long)(50000 * milliseconds / fastest);
  MPI_Bcast(&passes, 1, MPI_LONG, 0, MPI_COMM_WORLD);
  double *laps = malloc(sizeof *laps * WAYS * rounds);
  for (int round = 0; round < rounds; round++)
    for (int way = 0; way < WAYS; way++) laps[way * rounds + round] = lap(way, passes, milliseconds);
  for (int way = 0; rank == 0 && way < WAYS; way++) {
    qsort(laps + way * rounds, rounds, sizeof *laps, ascending);
    printf("| %s | %.0f |\n", NAMES[way], laps[way * rounds + rounds / 2]);
  }
  /* The sums are used, so that no compiler leaves them out. */
  if (own[0] > 1e9f) puts("overflow");
  MPI_Finalize();
}
