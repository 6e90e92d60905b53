/* synth.h: smears drawn from parametric morphology. Lengths are in micrometres unless a name says pixels. */
#ifndef SYNTH_H
#define SYNTH_H
#include "base/base.h"
#include "base/image.h"

/* declare how a smear is drawn */
typedef struct {
  const char *name, *stain, *prefix;
  int code, field_h, field_w, crop;                  /* pixels; field 0: every crop is a scene of its own */
  float scale;                                       /* pixels a micrometre */
  int counts[5];
  float absorb[4][3], light[3];                      /* absorbance per unit of stain (R, G, B); lamp */
  float lens, defocus, noise, tint;                  /* um; um; grey levels; spread of lamp's colour */
  float slide;                                       /* spread (log) of stain strength between slides */
} synth_style;
extern const synth_style synth_styles[2];

/* The stain and lamp of a bottle: that of a set, by its name, or may-grunwald. NULL: none is called so. */
const synth_style *synth_stain(const char *name);

typedef struct smear smear;                          /* a scene; opaque */

/* Draw scene number `scene`: n cells (1..6) of the given classes in a picture of height x width pixels (a
   crop's may hold a neighbour more). free() it. */
smear *synth_scene(const synth_style *s, uint64_t seed, uint32_t scene, const int *class, int n, int height,
                   int width);

/* Where cell i of a scene lies, in pixels of a shot (shots of one scene differ in stage, focus and noise). */
void synth_place(const smear *m, const synth_style *s, uint64_t seed, uint32_t shot, int i, int *y, int *x);

/* Take picture number `shot` of a scene: the window of h x w pixels at (y, x) of the whole picture. Windows of
   one shot agree to the bit where they overlap. mask (H, W) may be NULL: 0, but in white cells 128 cytoplasm,
   255 nucleus. */
image synth_view(const smear *m, const synth_style *s, uint64_t seed, uint32_t shot, int y, int x, int h, int w,
                 uint8_t *mask);
#endif
