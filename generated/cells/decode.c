#include "cells/decode.h"
#include "base/base.h"
#include <stdlib.h>
#include <string.h>

/* decode one cell */
void check_cut(const cut_options *o)
{
  if (o->crop < 0 || (o->crop > 0 && o->crop < 8) || o->crop > 65536)
    die(EXIT_USAGE, "--crop", say("%d", o->crop), "0, or at least 8 and at most 65536", NULL);
  if (o->white < 0 || o->white > 65535) die(EXIT_USAGE, "--white", say("%d", o->white), "1 to 65535", "4095 for a camera of 12 bits");
  if (o->page < 0) die(EXIT_USAGE, "--page", say("%d", o->page), "1 for the first", NULL);
  if (o->pad && strcmp(o->pad, "edge")) die(EXIT_USAGE, "--pad", say("'%s'", o->pad), "edge", NULL);
}

/* Where a window of `side` around `centre` (-1: the middle) begins in an image of n pixels. */
static int window_start(int centre, int side, int n)
{
  const int start = centre < 0 || side > n ? (n - side) / 2 : centre - side / 2;
  return side > n ? start : start < 0 ? 0 : start > n - side ? n - side : start;
}

static bool cut_cell(const found_cell *c, const cut_options *o, image *picture, image_how *how, image *out,
                     char why[256])
{
  int side = o->crop ? o->crop : c->side ? c->side : picture->h < picture->w ? picture->h : picture->w;
  if (c->y >= picture->h || c->x >= picture->w) {
    snprintf(why, 256, "an image of %d x %d, and a box around (%d, %d)", picture->w, picture->h, c->x, c->y);
    return false;
  }
  if ((side > picture->h || side > picture->w) && !o->pad) {
    snprintf(why, 256, "an image of %d x %d, smaller than the window of %d (--crop)", picture->w,
             picture->h, side);
    how->hint = "--pad edge repeats the border's pixels; --crop 0 takes the largest square that fits";
    return false;
  }
  *out = image_crop(picture, window_start(c->y, side, picture->h), window_start(c->x, side, picture->w), side, side);
  return true;
}

static bool cut_and_resize(found_cell *c, const cut_options *o, image *picture, image_how *how, char why[256])
{
  image window = {0};
  const bool good = cut_cell(c, o, picture, how, &window, why);
  c->hint = how->hint;
  if (!good) return false;
  c->window = window.h;
  if (how->note[0]) c->note = copy_text(how->note);
  /* hash the window's pixels */
  sha256 s;
  sha256_start(&s);
  sha256_add(&s, (int[2]){ window.h, window.w }, 2 * sizeof(int));
  sha256_add(&s, window.rgb, (size_t)window.h * (size_t)window.w * 3);
  sha256_end(&s, c->pixels_sha);
  c->cell = image_resize(&window, o->h, o->w);
  image_free(&window);
  return true;
}

bool decode_cell(found_cell *c, const cut_options *o, char why[256])
{
  image picture = {0};
  image_how how = { .white = o->white, .page = o->page };
  char hex[65];
  size_t n;
  char *bytes = image_file(c->path, &n, why);
  bool good = bytes != NULL;
  /* hold the bytes against the hash in the table */
  if (good && c->source_sha[0]) sha256_of(bytes, n, hex), good = !strcmp(hex, c->source_sha);
  if (bytes && !good)
    snprintf(why, 256, "sha256 %s, not %s as in the table: the image or its row was changed", hex, c->source_sha);
  good = good && image_read_as(bytes, n, &how, &picture, why);
  c->hint = how.hint;
  good = good && cut_and_resize(c, o, &picture, &how, why);
  image_free(&picture), free(bytes);
  return good;
}

static image picture_of(const uint8_t *p, const npz_array *a)
{
  image m = image_new((int)a->shape[1], (int)a->shape[2]);
  const size_t pixels = a->shape[1] * a->shape[2];
  const bool grey = a->dims == 3 || a->shape[3] == 1;
  for (size_t i = 0; i < 3 * pixels; i++) m.rgb[i] = p[grey ? i / 3 : i];
  return m;
}

bool decode_array(found_cell *c, const cut_options *o, const uint8_t *p, const npz_array *a, char why[256])
{
  image picture = picture_of(p, a);
  const bool good = cut_and_resize(c, o, &picture, &(image_how){0}, why);
  image_free(&picture);
  return good;
}

void warn_of_notes(const found_cell *c, int n, int *told)
{
  enum { MOST = 5 };
  for (int i = 0; i < n; i++)
    if (c[i].note && ++*told <= MOST) warn(c[i].path, c[i].note, *told == MOST ? "more such images are not told" : NULL);
}

