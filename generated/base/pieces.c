#include "base/pieces.h"
#include "base/base.h"
#include <stdlib.h>
#include <string.h>

int label_pieces(const uint8_t *mask, int h, int w, int neighbours, int *label, int *area)
{
  static const int dy[8] = { 0, 0, -1, 1, -1, -1, 1, 1 }, dx[8] = { -1, 1, 0, 0, -1, 1, -1, 1 };
  int pieces = 0, *stack = NEW(int, h * w);
  memset(label, 0, sizeof *label * (size_t)(h * w));
  for (int i = 0; i < h * w; i++) {
    if (!mask[i] || label[i]) continue;
    int waiting = 0;
    stack[waiting++] = i, label[i] = ++pieces, area[pieces] = 0;
    while (waiting) {
      int at = stack[--waiting], y = at / w, x = at % w;
      area[pieces]++;
      for (int k = 0; k < neighbours; k++) {
        int v = y + dy[k], u = x + dx[k], to = v * w + u;
        if (v < 0 || v >= h || u < 0 || u >= w || !mask[to] || label[to]) continue;
        label[to] = pieces, stack[waiting++] = to;
      }
    }
  }
  free(stack);
  return pieces;
}
