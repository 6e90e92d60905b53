/* Image readers over every flavour that the libraries can write here, damaged files, resizing, our own TIFF. */
#include "base/base.h"
#include "base/image.h"
#include "base/rng.h"
#include "tap.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { H = 29, W = 37 };
static char folder[256];
static const char *at(const char *name) { return say("%s/%s", folder, name); }

/* The test picture: 16-bit samples (y, x, s); s = 3 is alpha. Smooth, so that lossy codecs stay near it. */
static unsigned sample16(int y, int x, int s)
{
  double u = x / (double)(W - 1), v = y / (double)(H - 1);
  double value[4] = { u, v, 0.5 + 0.5 * sin(5 * u + 3 * v), 0.25 + 0.75 * (1 - u) };
  return (unsigned)(65535 * value[s] + 0.5);
}
static unsigned sample(int y, int x, int s, int bits) { return sample16(y, x, s) >> (16 - bits); }
static int to8(unsigned v, int bits) { return (int)floor(v * 255.0 / ((1u << bits) - 1) + 0.5); }

/* The largest difference between a read file and want, or 1000 when it cannot be read or has another size. */
typedef void (*wanted)(int y, int x, int rgb[3]);
static int difference(const char *path, wanted want, int h, int w)
{
  image m;
  char why[256];
  int worst = 0, rgb[3];
  if (!image_read(path, &m, why)) { printf("# %s: %s\n", path, why); return 1000; }
  if (m.h != h || m.w != w) { printf("# %s: %d x %d\n", path, m.w, m.h); image_free(&m); return 1000; }
  for (int y = 0; y < h; y++)
    for (int x = 0; x < w; x++) {
      want(y, x, rgb);
      for (int c = 0; c < 3; c++) {
        int d = abs(m.rgb[(y * w + x) * 3 + c] - rgb[c]);
        if (d > worst) worst = d;
      }
    }
  image_free(&m);
  return worst;
}

static void want_rgb(int y, int x, int rgb[3]) { for (int c = 0; c < 3; c++) rgb[c] = (int)sample(y, x, c, 8); }
static void write_bytes(const char *path, const void *p, size_t n)
{
  FILE *f = fopen(path, "wb");
  if (!f || fwrite(p, 1, n, f) != n || fclose(f)) exit(1);
}

/* ---------- damage: every prefix class and random flips of a good file must end in a message or a picture, never a crash ---------- */
static int refused_short, read_short, taken_for_whole, flips_done;
static void damage(const char *path)
{
  size_t n;
  char *good = file_read(path, &n, NULL), *bad = new_bytes(n), why[256];
  int flips = getenv("FUZZ") ? atoi(getenv("FUZZ")) : 60;
  image m;
  for (int k = 0; k < 60; k++) {
    size_t length = k < 20 ? (size_t)k * 3 : n * (size_t)(k - 19) / 42;
    if (length >= n) continue;
    char *cut = malloc(length ? length : 1);                     /* exact size: a read past the end is seen by the sanitizer */
    memcpy(cut, good, length);
    bool whole = image_read_bytes(cut, length, &m, why);
    if (!whole && why[0] && !m.rgb) refused_short++;
    else if (whole && length < n * 6 / 10) taken_for_whole++, printf("# %s: %zu of %zu bytes were taken for a whole image\n", path, length, n);
    else read_short++;
    image_free(&m), free(cut);
  }
  rng r = rng_open(7, RNG_TEST, (uint32_t)n, 0);
  for (int k = 0; k < flips; k++) {
    memcpy(bad, good, n);
    for (int j = 0, most = 1 + (int)rng_below(&r, 4); j < most; j++)
      bad[rng_below(&r, (uint32_t)(k % 2 && n > 300 ? 300 : n))] = (char)rng_u32(&r);
    bool whole = image_read_bytes(bad, n, &m, why);
    if (!whole && !why[0]) printf("# %s: refused without a reason\n", path), flips_done = -1000000;
    flips_done++;
    image_free(&m);
  }
  free(good), free(bad);
}
static void check_damage(const char *what, int files)
{
  ok(refused_short > 0 && read_short <= 12 * files && !taken_for_whole, "%s: %d truncated files refused with a reason, %d nearly whole ones read", what, refused_short, read_short);
  ok(flips_done > 0, "%s: %d files with flipped bytes, no crash, always a reason", what, flips_done);
  refused_short = read_short = taken_for_whole = flips_done = 0;
}

/* ---------- TIFF ---------- */
#if !defined HAVE_TIFF || HAVE_TIFF
#include <tiffio.h>
typedef struct { const char *mode; int photometric, bits, samples, extra, planar, tile, compression, predictor, orientation; } flavour;

static void store(uint8_t *p, size_t i, unsigned v, int bits)
{
  if (bits == 16) ((uint16_t *)(void *)p)[i] = (uint16_t)v;
  else if (bits == 8) p[i] = (uint8_t)v;
  else p[i * (size_t)bits / 8] |= (uint8_t)(v << (8 - bits - (int)(i * (size_t)bits % 8)));
}

static unsigned stored(const flavour *f, int y, int x, int s)
{
  if (y >= H || x >= W) return 0;
  unsigned v = sample(y, x, s == f->samples - 1 && f->extra ? 3 : s, f->bits);
  if (f->extra == EXTRASAMPLE_ASSOCALPHA && s < f->samples - 1) v = (unsigned)((uint64_t)v * sample(y, x, 3, f->bits) / ((1u << f->bits) - 1));
  return v;
}

static void write_tiff(const char *path, const flavour *f)
{
  TIFF *t = TIFFOpen(path, f->mode);
  TIFFSetField(t, TIFFTAG_IMAGEWIDTH, W), TIFFSetField(t, TIFFTAG_IMAGELENGTH, H);
  TIFFSetField(t, TIFFTAG_BITSPERSAMPLE, f->bits), TIFFSetField(t, TIFFTAG_SAMPLESPERPIXEL, f->samples);
  TIFFSetField(t, TIFFTAG_PHOTOMETRIC, f->photometric), TIFFSetField(t, TIFFTAG_PLANARCONFIG, f->planar);
  TIFFSetField(t, TIFFTAG_COMPRESSION, f->compression), TIFFSetField(t, TIFFTAG_ORIENTATION, f->orientation);
  if (f->predictor) TIFFSetField(t, TIFFTAG_PREDICTOR, f->predictor);
  uint16_t kind = (uint16_t)(f->extra == 3 ? EXTRASAMPLE_UNSPECIFIED : f->extra), map[3][256];
  if (f->extra) TIFFSetField(t, TIFFTAG_EXTRASAMPLES, 1, &kind);
  for (int i = 0; i < 256; i++) map[0][i] = (uint16_t)(i * 257), map[1][i] = (uint16_t)(65535 - i * 257), map[2][i] = (uint16_t)(i * 7 % 256 * 257);
  if (f->photometric == PHOTOMETRIC_PALETTE) TIFFSetField(t, TIFFTAG_COLORMAP, map[0], map[1], map[2]);
  if (f->tile) TIFFSetField(t, TIFFTAG_TILEWIDTH, f->tile), TIFFSetField(t, TIFFTAG_TILELENGTH, f->tile);
  else TIFFSetField(t, TIFFTAG_ROWSPERSTRIP, f->compression == COMPRESSION_JPEG ? 16 : 7);
  if (f->compression == COMPRESSION_JPEG) TIFFSetField(t, TIFFTAG_JPEGQUALITY, 98);
  if (f->compression == COMPRESSION_JPEG && f->photometric == PHOTOMETRIC_YCBCR) TIFFSetField(t, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
  int planes = f->planar == PLANARCONFIG_SEPARATE ? f->samples : 1, in_plane = f->samples / planes;
  int bh = f->tile ? f->tile : f->compression == COMPRESSION_JPEG ? 16 : 7, bw = f->tile ? f->tile : W;
  for (int p = 0, block = 0; p < planes; p++)
    for (int y0 = 0; y0 < H; y0 += bh)
      for (int x0 = 0; x0 < W; x0 += bw, block++) {
        int rows = f->tile || y0 + bh <= H ? bh : H - y0;
        size_t stride = ((size_t)bw * (size_t)in_plane * (size_t)f->bits + 7) / 8;
        uint8_t *b = NEW(uint8_t, stride * (size_t)rows);
        for (int y = 0; y < rows; y++)
          for (int x = 0; x < bw; x++)
            for (int s = 0; s < in_plane; s++)
              store(b + stride * (size_t)y, (size_t)(x * in_plane + s), stored(f, y0 + y, x0 + x, planes > 1 ? p : s), f->bits);
        if (f->tile) TIFFWriteEncodedTile(t, (uint32_t)block, b, (tmsize_t)(stride * (size_t)rows));
        else TIFFWriteEncodedStrip(t, (uint32_t)block, b, (tmsize_t)(stride * (size_t)rows));
        free(b);
      }
  TIFFClose(t);
}

/* What the flavour should look like, worked out here from the samples and from the TIFF 6.0 tags. */
static const flavour *now;
static void want_flavour(int y, int x, int rgb[3])
{
  int o = now->orientation, ty = y, tx = x, oh = o > 4 ? W : H, ow = o > 4 ? H : W;
  if (o == 2 || o == 3 || o == 6 || o == 7) tx = ow - 1 - x;
  if (o == 3 || o == 4 || o == 7 || o == 8) ty = oh - 1 - y;
  int r = o > 4 ? tx : ty, c = o > 4 ? ty : tx;
  unsigned s0 = stored(now, r, c, 0);
  if (now->photometric == PHOTOMETRIC_PALETTE) {
    int i = (int)s0;
    rgb[0] = i, rgb[1] = 255 - i, rgb[2] = i * 7 % 256;
    return;
  }
  for (int k = 0; k < 3; k++) {
    rgb[k] = to8(now->samples < 3 ? s0 : stored(now, r, c, k), now->bits);
    if (now->photometric == PHOTOMETRIC_MINISWHITE) rgb[k] = 255 - rgb[k];
  }
  if (now->photometric == PHOTOMETRIC_SEPARATED)
    for (int k = 0; k < 3; k++) rgb[k] = (255 - rgb[k]) * (255 - to8(stored(now, r, c, 3), 8)) / 255;
  int a = now->extra == 1 || now->extra == 2 ? to8(stored(now, r, c, now->samples - 1), now->bits) : 255;
  for (int k = 0; k < 3 && a < 255; k++) rgb[k] = now->extra == 1 ? rgb[k] + 255 - a : (int)floor((rgb[k] * a + 255.0 * (255 - a)) / 255 + 0.5);
}

static void test_tiff(void)
{
  enum { C = PLANARCONFIG_CONTIG, S = PLANARCONFIG_SEPARATE };
  const flavour flavours[] = {
    { "w", PHOTOMETRIC_RGB, 8, 3, 0, C, 0, COMPRESSION_NONE, 0, 1 },          { "wb", PHOTOMETRIC_RGB, 8, 3, 0, C, 0, COMPRESSION_NONE, 0, 1 },
    { "w8", PHOTOMETRIC_RGB, 8, 3, 0, C, 0, COMPRESSION_NONE, 0, 1 },         { "w", PHOTOMETRIC_RGB, 8, 3, 0, S, 0, COMPRESSION_NONE, 0, 1 },
    { "w", PHOTOMETRIC_RGB, 8, 3, 0, C, 16, COMPRESSION_NONE, 0, 1 },         { "w", PHOTOMETRIC_RGB, 8, 3, 0, S, 16, COMPRESSION_LZW, 2, 1 },
    { "w", PHOTOMETRIC_RGB, 8, 3, 0, C, 0, COMPRESSION_LZW, 2, 1 },           { "w", PHOTOMETRIC_RGB, 8, 3, 0, C, 32, COMPRESSION_ADOBE_DEFLATE, 2, 1 },
    { "w", PHOTOMETRIC_RGB, 8, 3, 0, C, 0, COMPRESSION_PACKBITS, 0, 1 },      { "w", PHOTOMETRIC_RGB, 8, 3, 0, C, 0, COMPRESSION_DEFLATE, 0, 1 },
    { "w", PHOTOMETRIC_RGB, 8, 3, 0, C, 0, COMPRESSION_ZSTD, 0, 1 },          { "w", PHOTOMETRIC_RGB, 8, 3, 0, C, 0, COMPRESSION_LZMA, 0, 1 },
    { "w", PHOTOMETRIC_RGB, 16, 3, 0, C, 0, COMPRESSION_NONE, 0, 1 },         { "wb", PHOTOMETRIC_RGB, 16, 3, 0, S, 16, COMPRESSION_LZW, 2, 1 },
    { "w", PHOTOMETRIC_MINISBLACK, 8, 1, 0, C, 0, COMPRESSION_NONE, 0, 1 },   { "w", PHOTOMETRIC_MINISBLACK, 16, 1, 0, C, 0, COMPRESSION_LZW, 0, 1 },
    { "w", PHOTOMETRIC_MINISBLACK, 1, 1, 0, C, 0, COMPRESSION_NONE, 0, 1 },   { "w", PHOTOMETRIC_MINISBLACK, 4, 1, 0, C, 0, COMPRESSION_PACKBITS, 0, 1 },
    { "w", PHOTOMETRIC_MINISWHITE, 8, 1, 0, C, 16, COMPRESSION_NONE, 0, 1 },  { "w", PHOTOMETRIC_MINISWHITE, 1, 1, 0, C, 0, COMPRESSION_CCITTFAX4, 0, 1 },
    { "w", PHOTOMETRIC_PALETTE, 8, 1, 0, C, 0, COMPRESSION_LZW, 0, 1 },       { "w", PHOTOMETRIC_PALETTE, 8, 1, 0, C, 16, COMPRESSION_NONE, 0, 1 },
    { "w", PHOTOMETRIC_RGB, 8, 4, 2, C, 0, COMPRESSION_NONE, 0, 1 },          { "w", PHOTOMETRIC_RGB, 8, 4, 1, C, 0, COMPRESSION_NONE, 0, 1 },
    { "w", PHOTOMETRIC_RGB, 8, 4, 3, C, 0, COMPRESSION_NONE, 0, 1 },          { "w", PHOTOMETRIC_RGB, 16, 4, 2, S, 0, COMPRESSION_NONE, 0, 1 },
    { "w", PHOTOMETRIC_RGB, 8, 4, 2, S, 16, COMPRESSION_LZW, 0, 1 },          { "w", PHOTOMETRIC_SEPARATED, 8, 4, 0, C, 0, COMPRESSION_NONE, 0, 1 },
    { "w", PHOTOMETRIC_YCBCR, 8, 3, 0, C, 0, COMPRESSION_JPEG, 0, 1 },        { "w", PHOTOMETRIC_RGB, 8, 3, 0, C, 16, COMPRESSION_JPEG, 0, 1 },
    { "w", PHOTOMETRIC_RGB, 8, 3, 0, C, 0, COMPRESSION_NONE, 0, 2 },          { "w", PHOTOMETRIC_RGB, 8, 3, 0, C, 0, COMPRESSION_NONE, 0, 3 },
    { "w", PHOTOMETRIC_RGB, 8, 3, 0, C, 0, COMPRESSION_LZW, 0, 4 },           { "w", PHOTOMETRIC_RGB, 8, 3, 0, C, 0, COMPRESSION_NONE, 0, 5 },
    { "w", PHOTOMETRIC_RGB, 8, 3, 0, C, 16, COMPRESSION_NONE, 0, 6 },         { "w", PHOTOMETRIC_RGB, 8, 3, 0, C, 0, COMPRESSION_NONE, 0, 7 },
    { "w", PHOTOMETRIC_RGB, 8, 3, 0, S, 0, COMPRESSION_NONE, 0, 8 },
  };
  int n = (int)(sizeof flavours / sizeof *flavours);
  for (int i = 0; i < n; i++) {
    const flavour *f = now = &flavours[i];
    const char *path = at(say("t%02d.tif", i));
    if (!TIFFIsCODECConfigured((uint16_t)f->compression)) { skip(say("libtiff here has no compression %d", f->compression)); continue; }
    write_tiff(path, f);
    bool lossy = f->photometric == PHOTOMETRIC_SEPARATED || (f->samples == 1 && f->bits == 16);
    int d = difference(path, want_flavour, f->orientation > 4 ? W : H, f->orientation > 4 ? H : W);
    ok(d <= (f->compression == COMPRESSION_JPEG ? 24 : lossy), "TIFF %s photometric %d, %d x %d bits, extra %d, %s, %s, compression %d, orientation %d: off by %d",
       f->mode, f->photometric, f->samples, f->bits, f->extra, f->planar == C ? "pixels" : "planes", f->tile ? "tiles" : "strips", f->compression, f->orientation, d);
    damage(path);
  }
  check_damage("TIFF", n);
}

/* Our own files, as libtiff sees them. */
static void test_own_tiff(void)
{
  image m = image_new(H, W), back;
  char why[256];
  for (int i = 0; i < H * W * 3; i++) m.rgb[i] = (uint8_t)sample(i / 3 / W, i / 3 % W, i % 3, 8);
  image_write_tiff(at("own.tif"), &m);
  TIFF *t = TIFFOpen(at("own.tif"), "r");
  uint32_t w, h;
  uint16_t bits, spp, photometric;
  uint8_t *rgb = NEW(uint8_t, H * W * 3);
  ok(t && TIFFGetField(t, TIFFTAG_IMAGEWIDTH, &w) && TIFFGetField(t, TIFFTAG_IMAGELENGTH, &h) && w == W && h == H, "own TIFF: libtiff sees its size");
  ok(TIFFGetField(t, TIFFTAG_BITSPERSAMPLE, &bits) && TIFFGetField(t, TIFFTAG_SAMPLESPERPIXEL, &spp) && TIFFGetField(t, TIFFTAG_PHOTOMETRIC, &photometric)
     && bits == 8 && spp == 3 && photometric == PHOTOMETRIC_RGB, "own TIFF: 8-bit RGB");
  float rx, ry;
  ok(TIFFGetField(t, TIFFTAG_XRESOLUTION, &rx) && TIFFGetField(t, TIFFTAG_YRESOLUTION, &ry) && rx == 1 && ry == 1, "own TIFF: the resolution that baseline asks for");
  ok(TIFFReadEncodedStrip(t, 0, rgb, H * W * 3) == H * W * 3 && !memcmp(rgb, m.rgb, H * W * 3), "own TIFF: libtiff reads the same pixels");
  TIFFClose(t);
  ok(image_read(at("own.tif"), &back, why) && !memcmp(back.rgb, m.rgb, H * W * 3), "own TIFF: we read the same pixels");
  image_free(&back);
  damage(at("own.tif"));
  check_damage("own TIFF", 1);
  free(rgb), image_free(&m);
}
#else
static void test_tiff(void) { skip("built without libtiff"); }
static void test_own_tiff(void) { skip("built without libtiff"); }
#endif

/* ---------- PNG ---------- */
#if !defined HAVE_PNG || HAVE_PNG
#include <png.h>
static int png_type, png_bits, png_trns;
static void want_png(int y, int x, int rgb[3])
{
  int alpha = 255;
  for (int c = 0; c < 3; c++) rgb[c] = to8(sample(y, x, png_type & PNG_COLOR_MASK_COLOR ? c : 0, png_bits), png_bits);
  if (png_type == PNG_COLOR_TYPE_PALETTE) {
    int i = (int)sample(y, x, 0, png_bits);
    rgb[0] = i * 16, rgb[1] = 255 - i * 16, rgb[2] = 128;
    if (png_trns) alpha = i < 4 ? i * 60 : 255;
  } else if (png_type & PNG_COLOR_MASK_ALPHA) alpha = to8(sample(y, x, 3, png_bits), png_bits);
  else if (png_trns && rgb[0] == rgb[1] && sample(y, x, 0, png_bits) == 3) alpha = 0;
  for (int c = 0; c < 3; c++) rgb[c] = (int)floor((rgb[c] * alpha + 255.0 * (255 - alpha)) / 255 + 0.5);
}

static void write_png(const char *path, int interlace)
{
  FILE *f = fopen(path, "wb");
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
  png_infop info = png_create_info_struct(png);
  png_color map[16];
  uint8_t trns[4] = { 0, 60, 120, 180 };
  int samples = (int)(png_type & PNG_COLOR_MASK_PALETTE ? 1 : (png_type & PNG_COLOR_MASK_COLOR ? 3 : 1) + (png_type & PNG_COLOR_MASK_ALPHA ? 1 : 0));
  png_init_io(png, f);
  png_set_IHDR(png, info, W, H, png_bits, png_type, interlace ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  for (int i = 0; i < 16; i++) map[i] = (png_color){ (uint8_t)(i * 16), (uint8_t)(255 - i * 16), 128 };
  if (png_type == PNG_COLOR_TYPE_PALETTE) png_set_PLTE(png, info, map, 1 << png_bits);
  if (png_type == PNG_COLOR_TYPE_PALETTE && png_trns) png_set_tRNS(png, info, trns, 4, NULL);
  if (png_type == PNG_COLOR_TYPE_GRAY && png_trns) png_set_tRNS(png, info, NULL, 0, &(png_color_16){ .gray = 3 });
  png_write_info(png, info);
  uint8_t *rows[H];
  for (int y = 0; y < H; y++) {
    rows[y] = NEW(uint8_t, W * 8);
    for (int x = 0; x < W; x++)
      for (int s = 0; s < samples; s++) {
        int from = png_type & PNG_COLOR_MASK_ALPHA && s == samples - 1 ? 3 : s, i = x * samples + s;
        unsigned v = sample(y, x, from, png_bits);
        if (png_bits == 16) rows[y][2*i] = (uint8_t)(v >> 8), rows[y][2*i + 1] = (uint8_t)v;
        else if (png_bits == 8) rows[y][i] = (uint8_t)v;
        else rows[y][i * png_bits / 8] |= (uint8_t)(v << (8 - png_bits - i * png_bits % 8));
      }
  }
  png_write_image(png, rows);
  png_write_end(png, NULL);
  png_destroy_write_struct(&png, &info);
  for (int y = 0; y < H; y++) free(rows[y]);
  fclose(f);
}

static void test_png(void)
{
  static const int kinds[][4] = {                                    /* type, bits, tRNS, interlaced */
    { PNG_COLOR_TYPE_GRAY, 1, 0, 0 }, { PNG_COLOR_TYPE_GRAY, 2, 0, 1 }, { PNG_COLOR_TYPE_GRAY, 4, 0, 0 }, { PNG_COLOR_TYPE_GRAY, 8, 0, 0 },
    { PNG_COLOR_TYPE_GRAY, 8, 1, 0 }, { PNG_COLOR_TYPE_GRAY, 16, 0, 1 }, { PNG_COLOR_TYPE_GRAY_ALPHA, 8, 0, 0 }, { PNG_COLOR_TYPE_GRAY_ALPHA, 16, 0, 0 },
    { PNG_COLOR_TYPE_PALETTE, 4, 0, 0 }, { PNG_COLOR_TYPE_PALETTE, 4, 1, 1 }, { PNG_COLOR_TYPE_PALETTE, 2, 0, 0 }, { PNG_COLOR_TYPE_RGB, 8, 0, 0 },
    { PNG_COLOR_TYPE_RGB, 8, 0, 1 }, { PNG_COLOR_TYPE_RGB, 16, 0, 0 }, { PNG_COLOR_TYPE_RGB_ALPHA, 8, 0, 0 }, { PNG_COLOR_TYPE_RGB_ALPHA, 16, 0, 1 } };
  int n = (int)(sizeof kinds / sizeof *kinds);
  for (int i = 0; i < n; i++) {
    png_type = kinds[i][0], png_bits = kinds[i][1], png_trns = kinds[i][2];
    write_png(at("p.png"), kinds[i][3]);
    int d = difference(at("p.png"), want_png, H, W);
    ok(d == 0, "PNG type %d, %d bits, tRNS %d, interlaced %d: off by %d", png_type, png_bits, png_trns, kinds[i][3], d);
    damage(at("p.png"));
  }
  check_damage("PNG", n);
  image m = image_new(H, W);
  for (int i = 0; i < H * W * 3; i++) m.rgb[i] = (uint8_t)sample(i / 3 / W, i / 3 % W, i % 3, 8);
  image_write_png(at("own.png"), &m);
  ok(difference(at("own.png"), want_rgb, H, W) == 0, "own PNG: the same pixels come back");
  image_free(&m);
}
#else
static void test_png(void) { skip("built without libpng"); }
#endif

/* ---------- JPEG ---------- */
#if !defined HAVE_JPEG || HAVE_JPEG
#include <jpeglib.h>
static void want_grey(int y, int x, int rgb[3]) { rgb[0] = rgb[1] = rgb[2] = (int)sample(y, x, 0, 8); }
static void want_cmyk(int y, int x, int rgb[3]) { for (int c = 0; c < 3; c++) rgb[c] = (int)sample(y, x, c, 8) * (int)sample(y, x, 3, 8) / 255; }

static void write_jpeg(const char *path, int samples, bool progressive)
{
  struct jpeg_compress_struct j = {0};
  struct jpeg_error_mgr e;
  FILE *f = fopen(path, "wb");
  j.err = jpeg_std_error(&e);
  jpeg_create_compress(&j);
  jpeg_stdio_dest(&j, f);
  j.image_width = W, j.image_height = H, j.input_components = samples;
  j.in_color_space = samples == 1 ? JCS_GRAYSCALE : samples == 3 ? JCS_RGB : JCS_CMYK;
  jpeg_set_defaults(&j);
  jpeg_set_quality(&j, 98, TRUE);
  if (progressive) jpeg_simple_progression(&j);
  jpeg_start_compress(&j, TRUE);
  for (int y = 0; y < H; y++) {
    uint8_t row[W * 4], *p = row;
    for (int i = 0; i < W * samples; i++) row[i] = (uint8_t)sample(y, i / samples, i % samples, 8);
    jpeg_write_scanlines(&j, &p, 1);
  }
  jpeg_finish_compress(&j);
  jpeg_destroy_compress(&j);
  fclose(f);
}

static void test_jpeg(void)
{
  static const wanted want[] = { want_grey, want_rgb, want_rgb, want_cmyk };
  static const int samples[] = { 1, 3, 3, 4 };
  for (int i = 0; i < 4; i++) {
    write_jpeg(at("j.jpg"), samples[i], i == 2);
    int d = difference(at("j.jpg"), want[i], H, W);
    ok(d <= 16, "JPEG of %d channels%s: off by %d", samples[i], i == 2 ? ", progressive" : "", d);
    damage(at("j.jpg"));
  }
  check_damage("JPEG", 4);
}
#else
static void test_jpeg(void) { skip("built without libjpeg"); }
#endif

/* ---------- BMP, written by hand ---------- */
static void le(uint8_t *p, uint32_t v, int n) { for (int i = 0; i < n; i++) p[i] = (uint8_t)(v >> (8 * i)); }
static int bmp_bits;
static void want_bmp(int y, int x, int rgb[3])
{
  if (bmp_bits > 8) {
    for (int c = 0; c < 3; c++) rgb[c] = bmp_bits == 16 ? to8(sample(y, x, c, 5), 5) : (int)sample(y, x, c, 8);
    return;
  }
  int i = (int)sample(y, x, 0, bmp_bits);
  rgb[0] = i, rgb[1] = 255 - i, rgb[2] = i * 7 % 256;
}

/* header: 12, 40 or 124 bytes. Returns the file's length. */
static size_t make_bmp(uint8_t *p, int header, int bits, bool top_down, bool fields, uint32_t size, int palette_entries)
{
  bool old = header == 12;
  size_t colours = bits > 8 ? 0 : (size_t)palette_entries, entry = old ? 3 : 4, start = 14 + (size_t)header + (fields && header == 40 ? 12 : 0) + colours * entry;
  size_t stride = ((size_t)W * (size_t)bits + 31) / 32 * 4, n = start + stride * H;
  memset(p, 0, n);
  memcpy(p, "BM", 2), le(p + 2, size ? size : (uint32_t)n, 4), le(p + 10, (uint32_t)start, 4), le(p + 14, (uint32_t)header, 4);
  le(p + 18, W, old ? 2 : 4), le(p + (old ? 20 : 22), (uint32_t)(top_down ? -H : H), old ? 2 : 4);
  le(p + (old ? 22 : 26), 1, 2), le(p + (old ? 24 : 28), (uint32_t)bits, 2);
  if (!old) le(p + 30, fields ? 3 : 0, 4), le(p + 46, (uint32_t)colours, 4);
  if (fields) le(p + 54, bits == 16 ? 0x7c00 : 0xff000000, 4), le(p + 58, bits == 16 ? 0x3e0 : 0xff0000, 4), le(p + 62, bits == 16 ? 0x1f : 0xff00, 4);
  for (size_t i = 0; i < colours; i++) {
    uint8_t *e = p + 14 + header + i * entry;
    e[2] = (uint8_t)i, e[1] = (uint8_t)(255 - i), e[0] = (uint8_t)(i * 7);
  }
  for (int y = 0; y < H; y++) {
    uint8_t *row = p + start + stride * (size_t)(top_down ? y : H - 1 - y);
    for (int x = 0; x < W; x++) {
      if (bits <= 8) row[x * bits / 8] |= (uint8_t)(sample(y, x, 0, bits) << (8 - bits - x * bits % 8));
      else if (bits == 16) le(row + 2 * x, sample(y, x, 0, 5) << 10 | sample(y, x, 1, 5) << 5 | sample(y, x, 2, 5), 2);
      else for (int c = 0; c < 3; c++) row[x * bits / 8 + (fields ? 3 - c : 2 - c)] = (uint8_t)sample(y, x, c, 8);
    }
  }
  return n;
}

static void test_bmp(void)
{
  static const struct { int header, bits; bool top_down, fields; uint32_t size; int palette; const char *what; } kind[] = {
    { 40, 24, 0, 0, 0, 0, "24 bits" }, { 40, 24, 1, 0, 0, 0, "24 bits, top down" }, { 40, 24, 0, 0, 921654, 0, "24 bits, LISC's wrong file size" },
    { 40, 8, 0, 0, 0, 256, "palette of 256" }, { 40, 4, 0, 0, 0, 16, "palette of 16" }, { 40, 1, 0, 0, 0, 2, "two colours" }, { 40, 32, 0, 0, 0, 0, "32 bits" },
    { 40, 32, 1, 1, 0, 0, "32 bits, bit fields, top down" }, { 40, 16, 0, 0, 0, 0, "16 bits, 555" }, { 40, 16, 0, 1, 0, 0, "16 bits, fields" },
    { 124, 32, 0, 1, 0, 0, "version 5 header" }, { 12, 24, 0, 0, 0, 0, "OS/2 header" }, { 12, 8, 0, 0, 0, 256, "OS/2 header with a palette" } };
  static uint8_t file[20000];
  int n = (int)(sizeof kind / sizeof *kind);
  for (int i = 0; i < n; i++) {
    size_t length = make_bmp(file, kind[i].header, bmp_bits = kind[i].bits, kind[i].top_down, kind[i].fields, kind[i].size, kind[i].palette);
    write_bytes(at("b.bmp"), file, length);
    int d = difference(at("b.bmp"), want_bmp, H, W);
    ok(d == 0, "BMP, %s: off by %d", kind[i].what, d);
    damage(at("b.bmp"));
  }
  check_damage("BMP", n);
  image m = image_new(H, W);
  for (int i = 0; i < H * W * 3; i++) m.rgb[i] = (uint8_t)sample(i / 3 / W, i / 3 % W, i % 3, 8);
  image_write_bmp(at("own.bmp"), &m);
  ok(difference(at("own.bmp"), want_rgb, H, W) == 0, "own BMP: the same pixels come back");
  image_free(&m);
}

/* ---------- what is refused, and why ---------- */
static void refused(const char *what, const void *bytes, size_t n, const char *word)
{
  image m;
  char why[256];
  bool good = image_read_bytes(bytes, n, &m, why);
  ok(!good && strstr(why, word), "%s is refused: %s", what, why);
  image_free(&m);
}

static void test_refused(void)
{
  uint8_t b[200] = "BM";
  image m;
  char why[256];
  le(b + 10, 54, 4), le(b + 14, 40, 4), le(b + 18, 100000, 4), le(b + 22, 100000, 4), le(b + 26, 1, 2), le(b + 28, 24, 2);
  refused("a huge BMP", b, 200, "huge");
  le(b + 18, 0, 4);
  refused("a BMP without width", b, 200, "BMP");
  le(b + 18, 10, 4), le(b + 22, 10, 4), le(b + 30, 1, 4);
  refused("a run-length BMP", b, 200, "compression 1");
  refused("an empty file", "", 0, "empty");
  refused("a text", "hello, world", 12, "neither TIFF, PNG, JPEG nor BMP");
#if !defined HAVE_TIFF || HAVE_TIFF
  static const uint8_t huge_tiff[] = { 'I','I',42,0, 8,0,0,0, 6,0, 0,1,4,0,1,0,0,0,0xa0,0x86,1,0, 1,1,4,0,1,0,0,0,0xa0,0x86,1,0, 6,1,3,0,1,0,0,0,1,0,0,0,
    0x11,1,4,0,1,0,0,0,0,0,0,0, 0x16,1,4,0,1,0,0,0,1,0,0,0, 0x17,1,4,0,1,0,0,0,10,0,0,0, 0,0,0,0 };
  refused("a huge TIFF", huge_tiff, sizeof huge_tiff, "huge");
#endif
#if !defined HAVE_JPEG || HAVE_JPEG
  static const uint8_t huge_jpeg[] = { 0xff,0xd8, 0xff,0xc0,0,11,8,0xff,0xdc,0xff,0xdc,1,1,0x11,0, 0xff,0xda,0,8,1,1,0,0,63,0, 0,0,0xff,0xd9 };
  refused("a huge JPEG", huge_jpeg, sizeof huge_jpeg, "huge");
#endif
#if !defined HAVE_PNG || HAVE_PNG
  static const uint8_t huge_png[] = { 0x89,'P','N','G','\r','\n',0x1a,'\n', 0,0,0,13,'I','H','D','R',0,0,0x27,0x10,0,0,0x27,0x10,8,2,0,0,0,0x8a,0xc0,0x24,0x46,
    0,0,0,0,'I','D','A','T',0x35,0xaf,0x06,0x1e };
  refused("a huge PNG", huge_png, sizeof huge_png, "PNG");
#endif
  ok(!image_read(at("absent.tif"), &m, why) && strstr(why, "No such file"), "a missing file: %s", why);
  ok(!image_read(folder, &m, why) && strstr(why, "not a plain file"), "a folder: %s", why);
}

/* ---------- cutting and resizing ---------- */
static void test_resize(void)
{
  image two = { 1, 2, (uint8_t[6]){ 0, 10, 200, 100, 50, 0 } }, r = image_resize(&two, 1, 4);
  ok(r.rgb[0] == 0 && r.rgb[3] == 25 && r.rgb[6] == 75 && r.rgb[9] == 100, "bilinear, pixel centres aligned: 0 100 -> 0 25 75 100 (%d %d %d %d)", r.rgb[0], r.rgb[3], r.rgb[6], r.rgb[9]);
  ok(r.rgb[1] == 10 && r.rgb[4] == 20 && r.rgb[7] == 40 && r.rgb[10] == 50, "each channel for itself");
  image_free(&r);
  image m = image_new(90, 60);
  for (int i = 0; i < 90 * 60 * 3; i++) m.rgb[i] = (uint8_t)(i / 3 % 60 * 4);
  r = image_resize(&m, 30, 20);
  int worst = 0;
  for (int x = 1; x < 19; x++) worst = abs(r.rgb[(7 * 20 + x) * 3] - (x * 3 + 1) * 4) > worst ? abs(r.rgb[(7 * 20 + x) * 3] - (x * 3 + 1) * 4) : worst;
  ok(worst == 0, "shrinking a ramp by 3 keeps it: off by %d", worst);
  image_free(&r);
  for (int i = 0; i < 90 * 60 * 3; i++) m.rgb[i] = i / 3 % 3 ? 0 : 255;
  r = image_resize(&m, 15, 10);
  worst = 0;
  for (int y = 0; y < 15; y++) for (int x = 1; x < 9; x++) worst = abs(r.rgb[(y * 10 + x) * 3] - 85) > worst ? abs(r.rgb[(y * 10 + x) * 3] - 85) : worst;
  ok(worst <= 2, "shrinking stripes by 6 averages them: off by %d", worst);
  image_free(&r);
  memset(m.rgb, 77, 90 * 60 * 3);
  r = image_resize(&m, 71, 133);
  worst = 0;
  for (int i = 0; i < 71 * 133 * 3; i++) worst |= r.rgb[i] != 77;
  ok(!worst, "a flat image stays flat, whatever the size");
  image_free(&r);
  for (int i = 0; i < 90 * 60 * 3; i++) m.rgb[i] = (uint8_t)(i * 31 >> 3);
  r = image_resize(&m, 90, 60);
  ok(!memcmp(r.rgb, m.rgb, 90 * 60 * 3), "the same size: the same bytes");
  image_free(&r);
  r = image_crop(&m, -2, 57, 5, 6);
  ok(!memcmp(r.rgb, m.rgb + 57 * 3, 9) && !memcmp(r.rgb + 9, m.rgb + 59 * 3, 3) && !memcmp(r.rgb + (4 * 6) * 3, m.rgb + (2 * 60 + 57) * 3, 9),
     "a window past the border repeats the border");
  image_free(&r), image_free(&m);
}

int main(void)
{
  const char *keep = getenv("IMAGE_FOLDER");                         /* make fuzz begins from these files */
  if (keep) snprintf(folder, sizeof folder, "%s", keep);
  else snprintf(folder, sizeof folder, "%s/image-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
  if (!keep && !mkdtemp(folder)) return 1;
  int stderr_was = dup(2);
  fflush(stderr);
  if (!freopen(at("stderr"), "w", stderr)) return 1;                 /* whatever a library says ends up here */
  test_tiff(), test_own_tiff(), test_png(), test_jpeg(), test_bmp(), test_refused(), test_resize();
  fflush(stderr);
  size_t n;
  char *chatter = file_read(at("stderr"), &n, NULL);
  dup2(stderr_was, 2);
  ok(n == 0, "no library wrote to stderr: '%.100s'", chatter);
  free(chatter);
  if (!keep && system(say("rm -rf '%s'", folder))) return 1;
  return done_testing();
}
