/* 20-synth.c: the drawn cells have the morphology of their classes, measured in the generator's own masks; a window is its field. */
#include "tap.h"
#include "cells/dataset.h"
#include "cells/synth.h"
#include <stdlib.h>
#include <string.h>

enum { NEU, EOS, BAS, LYM, MON, EACH = 60 };

/* Means over EACH cells of one class: areas in square micrometres; cytoplasm and nucleus are mean R, G, B; ragged is the nucleus's
   squared outline length over its area (a disc: 4 pi, counted on pixel sides about 16), whole the share of nuclei in one piece. */
typedef struct { double cell, nucleus, ragged, cytoplasm[3], inner[3]; } morphology;

static void add_cell(morphology *m, const image *p, const uint8_t *mask, double pixel_area)
{
  double cell = 0, nucleus = 0, sides = 0, sum[2][3] = { { 0 } }, n[2] = { 0 };
  for (int y = 1; y + 1 < p->h; y++)
    for (int x = 1; x + 1 < p->w; x++) {
      size_t k = (size_t)y * (size_t)p->w + (size_t)x;
      if (!mask[k]) continue;
      int in = mask[k] == 255;
      cell++, nucleus += in, n[in]++;
      for (int c = 0; c < 3; c++) sum[in][c] += p->rgb[3 * k + (size_t)c];
      if (in) sides += (mask[k - 1] != 255) + (mask[k + 1] != 255) + (mask[k - (size_t)p->w] != 255) + (mask[k + (size_t)p->w] != 255);
    }
  m->cell += cell * pixel_area / EACH, m->nucleus += nucleus * pixel_area / EACH, m->ragged += sides * sides / nucleus / EACH;
  for (int c = 0; c < 3; c++) m->cytoplasm[c] += sum[0][c] / n[0] / EACH, m->inner[c] += sum[1][c] / n[1] / EACH;
}

static morphology measure_class(const synth_style *s, int class)
{
  morphology m = { 0 };
  int size = s->crop;
  uint8_t *mask = NEW(uint8_t, size * size);
  for (int i = 0; i < EACH; i++) {
    smear *scene = synth_scene(s, 5, (uint32_t)(class * 1000 + i), &class, 1, s->field_h ? s->field_h : size, s->field_w ? s->field_w : size);
    int y = 0, x = 0;
    if (s->field_h) synth_place(scene, s, 5, (uint32_t)i, 0, &y, &x), y -= size / 2, x -= size / 2;
    image p = synth_view(scene, s, 5, (uint32_t)i, y, x, size, size, mask);
    add_cell(&m, &p, mask, 1 / (double)(s->scale * s->scale));
    image_free(&p), free(scene);
  }
  free(mask);
  return m;
}

static double redness(const morphology *m) { return m->cytoplasm[0] - (m->cytoplasm[1] + m->cytoplasm[2]) / 2; }
static double blueness(const morphology *m) { return m->cytoplasm[2] - (m->cytoplasm[0] + m->cytoplasm[1]) / 2; }
static double light(const morphology *m) { return (m->cytoplasm[0] + m->cytoplasm[1] + m->cytoplasm[2]) / 3; }

/* Areas: an atlas's diameters of a dried smear (neutrophil 11-15 um, small lymphocyte 8-11, monocyte 14-19), as areas of discs. */
static void check_style(const synth_style *s)
{
  morphology m[5];
  for (int c = 0; c < 5; c++) {
    m[c] = measure_class(s, c);
    printf("# %s %-10s cell %5.1f um2, nucleus %5.1f um2 (%2.0f %%), ragged %4.1f, cytoplasm %3.0f %3.0f %3.0f, nucleus %3.0f %3.0f %3.0f\n",
           s->name, class_names[c], m[c].cell, m[c].nucleus, 100 * m[c].nucleus / m[c].cell, m[c].ragged, m[c].cytoplasm[0],
           m[c].cytoplasm[1], m[c].cytoplasm[2], m[c].inner[0], m[c].inner[1], m[c].inner[2]);
  }
  ok(m[NEU].cell > 95 && m[NEU].cell < 177, "%s: a neutrophil is 11 to 15 um wide", s->name);
  ok(m[MON].cell > 140 && m[MON].cell < 284, "%s: a monocyte is 14 to 19 um wide", s->name);
  ok(m[LYM].cell < m[NEU].cell && m[NEU].cell < m[MON].cell, "%s: lymphocyte < neutrophil < monocyte", s->name);
  ok(m[LYM].nucleus / m[LYM].cell > 0.55, "%s: a lymphocyte is mostly nucleus", s->name);
  ok(m[NEU].nucleus / m[NEU].cell < 0.45 && m[MON].nucleus / m[MON].cell < 0.55, "%s: neutrophil and monocyte are mostly cytoplasm", s->name);
  ok(m[NEU].ragged > 1.5 * m[LYM].ragged, "%s: a neutrophil's nucleus is lobed, a lymphocyte's round", s->name);
  ok(m[MON].ragged > 1.1 * m[LYM].ragged && m[MON].ragged < m[NEU].ragged, "%s: a monocyte's nucleus is in between", s->name);
  for (int c = 0; c < 5; c++)
    if (c != EOS) ok(redness(&m[EOS]) > redness(&m[c]) + 15, "%s: an eosinophil is redder than a %s", s->name, class_names[c]);
  ok(blueness(&m[LYM]) > blueness(&m[NEU]) + 15, "%s: a lymphocyte's rim is bluer than a neutrophil's cytoplasm", s->name);
  ok(blueness(&m[MON]) > blueness(&m[NEU]) + 5, "%s: a monocyte's cytoplasm is bluer than a neutrophil's", s->name);
  for (int c = 0; c < 5; c++)
    if (c != BAS) ok(light(&m[BAS]) < light(&m[c]), "%s: a basophil's granules make it darker than a %s", s->name, class_names[c]);
  for (int c = 0; c < 5; c++)
    ok(m[c].inner[2] > m[c].inner[0] && m[c].inner[0] > m[c].inner[1], "%s: a %s's nucleus is violet", s->name, class_names[c]);
}

/* A window drawn alone, its mask too, is to the byte what the whole field shows there. */
static void check_window(void)
{
  const synth_style *s = &synth_styles[1];
  int class[2] = { NEU, MON }, y, x, h = 61, w = 83;
  smear *scene = synth_scene(s, 3, 8, class, 2, s->field_h, s->field_w);
  uint8_t *whole = NEW(uint8_t, s->field_h * s->field_w), *part = NEW(uint8_t, h * w);
  image field = synth_view(scene, s, 3, 9, 0, 0, s->field_h, s->field_w, whole);
  synth_place(scene, s, 3, 9, 1, &y, &x);
  y -= 30, x -= 41;
  image window = synth_view(scene, s, 3, 9, y, x, h, w, part), cut = image_crop(&field, y, x, h, w);
  bool same = true;
  for (int i = 0; i < h; i++) same &= !memcmp(part + i * w, whole + (y + i) * s->field_w + x, (size_t)w);
  ok(!memcmp(window.rgb, cut.rgb, (size_t)(3 * h * w)), "a window of a field has the field's bytes");
  ok(same, "and the field's mask");
  ok(part[30 * w + 41] > 0, "synth_place points at a white cell");
  image again = synth_view(scene, s, 3, 10, y, x, h, w, NULL);
  ok(memcmp(window.rgb, again.rgb, (size_t)(3 * h * w)), "a second shot of the scene has other bytes");
  image_free(&field), image_free(&window), image_free(&cut), image_free(&again);
  free(scene), free(whole), free(part);
}

/* The mask lies on the cell: the contrast between what it covers and what it leaves is less when it is moved by 2 pixels. */
static double contrast(const image *p, const uint8_t *mask, int dy, int dx)
{
  double sum[2] = { 0 }, n[2] = { 0 };
  for (int y = 2; y + 2 < p->h; y++)
    for (int x = 2; x + 2 < p->w; x++) {
      int in = mask[(size_t)(y + dy) * (size_t)p->w + (size_t)(x + dx)] == 255;
      sum[in] += p->rgb[3 * ((size_t)y * (size_t)p->w + (size_t)x) + 1], n[in]++;
    }
  return sum[0] / n[0] - sum[1] / n[1];
}

static void check_alignment(const synth_style *s)
{
  int class = LYM, size = s->crop, better = 0;
  uint8_t *mask = NEW(uint8_t, size * size);
  for (uint32_t i = 0; i < 10; i++) {
    smear *scene = synth_scene(s, 5, i, &class, 1, size, size);
    image p = synth_view(scene, s, 5, i, 0, 0, size, size, mask);
    double here = contrast(&p, mask, 0, 0);
    better += contrast(&p, mask, 2, 0) < here && contrast(&p, mask, -2, 0) < here && contrast(&p, mask, 0, 2) < here
              && contrast(&p, mask, 0, -2) < here;
    image_free(&p), free(scene);
  }
  free(mask);
  ok(better >= 8, "the mask of the nucleus lies on the nucleus (%d of 10)", better);
}

int main(void)
{
  check_style(&synth_styles[0]);
  check_style(&synth_styles[1]);
  check_window();
  check_alignment(&synth_styles[0]);
  return done_testing();
}
