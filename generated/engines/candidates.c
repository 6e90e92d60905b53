#include "engines/candidates.h"
#include "base/base.h"
#include "base/options.h"
#include <stdlib.h>
#include <string.h>

/* list the candidates */
const candidate_row candidate_table[CANDIDATES] = {
  [CANDIDATE_TF32_WGRAD] = { "tf32-wgrad", "weight gradients with fragments in natural order", IN_TF32, 0,
                             { 0, 3.6, 0 }, { 0, 3.4, 0 } },
  [CANDIDATE_TILES] = { "tiles", "tiles by rounds of the multiprocessors", IN_FP32, 0, { 9.6, 0, 0 }, { 9.1, 0, 0 } },
  [CANDIDATE_GROUPS] = { "groups", "convolutions by Hopper's products of warp groups", IN_TF32 | IN_BF16, 90,
                         { 0, 3.6, 2.2 }, { 0, 2.6, 1.7 } },
  [CANDIDATE_GROUPS_FLIGHT] = { "groups-flight", "the same, with a stage of products always in flight", IN_TF32 | IN_BF16, 90,
                                { 0, 3.6, 2.2 }, { 0, 2.58, 1.69 } },
  [CANDIDATE_SWIZZLE] = { "swizzle", "tiles without padding, their pieces exchanged", IN_FP32 | IN_TF32 | IN_BF16, 0,
                          { 9.6, 3.6, 2.2 }, { 9.6, 3.5, 2.1 } },
  [CANDIDATE_FC1_SPLIT] = { "fc1-split", "fully connected layers forward by slices of our own", IN_FP32 | IN_TF32 | IN_BF16, 0,
                            { 9.6, 3.6, 2.2 }, { 9.56, 3.56, 2.16 } },
  [CANDIDATE_WINOGRAD] = { "winograd", "convolutions by Winograd's transforms", IN_FP32, 0, { 9.6, 0, 0 }, { 6.0, 0, 0 } },
};

/* read which candidates are on */
static _Noreturn void unknown_candidate(const char *word)
{
  const char *names[CANDIDATES + 2] = { "none" };
  char *all = copy_text("none, or some of ");
  for (int i = 0; i < CANDIDATES; i++) {
    char *longer = join("%s%s%s", all, i ? ", " : "", names[i + 1] = candidate_table[i].name);
    free(all), all = longer;
  }
  const char *near = nearest(word, names);
  die(EXIT_USAGE, "WBCSNET_CANDIDATES", say("'%s'", word), all, near ? say("did you mean %s?", near) : NULL);
}

static unsigned read_candidates(const char *text)
{
  unsigned bits = 0;
  while (*text) {
    const size_t n = strcspn(text, ",");
    char *word = join("%.*s", (int)n, text);
    int i = 0;
    while (i < CANDIDATES && strcmp(word, candidate_table[i].name)) i++;
    if (i < CANDIDATES) bits |= 1u << i;
    else if (strcmp(word, "none")) unknown_candidate(word);
    free(word);
    text += text[n] ? n + 1 : n;
  }
  return bits;
}

/* remember which candidates are on */
static bool known;
static unsigned asked;

unsigned candidates_asked(void)
{
  const char *text = getenv("WBCSNET_CANDIDATES");
  if (!known) known = true, asked = text ? read_candidates(text) : 0;
  return asked;
}

void candidates_ask(unsigned bits) { known = true, asked = bits; }

