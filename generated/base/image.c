#include "base/image.h"
#include "base/base.h"
/* image: headers */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <stdarg.h>

/* make room for an image */
image image_new(int h, int w)
{
  return (image){ h, w, new_bytes((size_t)h * (size_t)w * 3) };
}

void image_free(image *m)
{
  free(m->rgb);
  *m = (image){0};
}

/* Puts the reason into why; for return statements. */
__attribute__((format(printf, 2, 3)))
static bool fail(char why[256], const char *format, ...)
{
  va_list ap;
  va_start(ap, format);
  vsnprintf(why, 256, format, ap);
  va_end(ap);
  return false;
}

static bool start_image(uint64_t h, uint64_t w, image *out, char why[256])
{
  if (!h || !w)
    return fail(why, "an image of %llu x %llu pixels", (unsigned long long)w, (unsigned long long)h);
  if (h > IMAGE_MAX_PIXELS || w > IMAGE_MAX_PIXELS || h * w > IMAGE_MAX_PIXELS)
    return fail(why, "a huge image of %llu x %llu pixels; at most %d million pixels are read",
                (unsigned long long)w, (unsigned long long)h, IMAGE_MAX_PIXELS / 1000000);
  *out = image_new((int)h, (int)w);
  return true;
}

/* read bytes in either order */
/* Unsigned integers from a file, in little or big byte order. */
static uint32_t get16(const uint8_t *p, bool big)
{
  return big ? p[0] * 256u + p[1] : p[1] * 256u + p[0];
}
static uint32_t get32(const uint8_t *p, bool big)
{
  return big ? get16(p, 1) << 16 | get16(p + 2, 1) : get16(p + 2, 0) << 16 | get16(p, 0);
}
static void put16(uint8_t *p, uint32_t v) { p[0] = (uint8_t)v, p[1] = (uint8_t)(v >> 8); }
static void put32(uint8_t *p, uint32_t v) { put16(p, v), put16(p + 2, v >> 16); }

/* write a TIFF by hand */
enum { TIFF_FRAME = 180, TAG_SHORT = 3, TAG_LONG = 4, TAG_RATIONAL = 5 };

uint8_t *image_tiff_bytes(const image *m, size_t *n)
{
  uint32_t h = (uint32_t)m->h, w = (uint32_t)m->w, bytes = h * w * 3;
  const struct { uint16_t tag, type; uint32_t count, value; } entry[] = {
    { 256, TAG_LONG, 1, w },            { 257, TAG_LONG, 1, h },      /* width, height */
    { 258, TAG_SHORT, 3, 158 },         { 259, TAG_SHORT, 1, 1 }, /* bits a sample, no compression */
    { 262, TAG_SHORT, 1, 2 },           { 273, TAG_LONG, 1, TIFF_FRAME }, /* RGB, where the strip is */
    { 277, TAG_SHORT, 1, 3 },  { 278, TAG_LONG, 1, h },  /* samples a pixel, rows in the strip */
    { 279, TAG_LONG, 1, bytes },  { 282, TAG_RATIONAL, 1, 164 },  /* bytes in the strip, resolution */
    { 283, TAG_RATIONAL, 1, 172 },      { 296, TAG_SHORT, 1, 1 },     /* ... of no unit */
  };
  uint8_t *file = new_bytes(*n = TIFF_FRAME + (size_t)bytes), *p = file + 10;
  memcpy(file, "II*\0\10\0\0\0\14\0", 10);
  for (int i = 0; i < 12; i++, p += 12)
    put16(p, entry[i].tag), put16(p + 2, entry[i].type), put32(p + 4, entry[i].count),
      put32(p + 8, entry[i].value);
  for (int i = 0; i < 3; i++) put16(file + 158 + 2 * i, 8);
  for (int i = 0; i < 4; i++) put32(file + 164 + 4 * i, 1);
  memcpy(file + TIFF_FRAME, m->rgb, bytes);
  return file;
}

void image_write_tiff(const char *path, const image *m)
{
  size_t n;
  uint8_t *bytes = image_tiff_bytes(m, &n);
  atomic_file *a = file_create(path);
  if (fwrite(bytes, 1, n, a->f) != n) file_write_error(path);
  file_commit(a);
  free(bytes);
}

/* find a tag of a TIFF */
typedef struct { const uint8_t *p; size_t n; bool big; } tiff_file;
typedef struct { uint32_t type, count; const uint8_t *value; } tiff_tag;

/* The tag's type, count and where its values lie; false when it is absent or points outside the
   file. */
static bool find_tag(const tiff_file *t, uint32_t tag, tiff_tag *out)
{
  uint32_t at = get32(t->p + 4, t->big);
  if (at > t->n || t->n - at < 2) return false;
  uint32_t entries = get16(t->p + at, t->big);
  if ((t->n - at - 2) / 12 < entries) return false;
  for (uint32_t i = 0; i < entries; i++) {
    const uint8_t *e = t->p + at + 2 + 12 * i;
    if (get16(e, t->big) != tag) continue;
    uint32_t type = get16(e + 2, t->big), count = get32(e + 4, t->big),
      size = type == TAG_SHORT ? 2 : 4;
    if (type != TAG_SHORT && type != TAG_LONG) return false;
    const uint8_t *value = e + 8;
    if ((uint64_t)count * size > 4) {
      uint32_t where = get32(value, t->big);
      if (where > t->n || (t->n - where) / size < count) return false;
      value = t->p + where;
    }
    *out = (tiff_tag){ type, count, value };
    return true;
  }
  return false;
}

/* read a tag's value */
static uint32_t tag_value(const tiff_file *t, const tiff_tag *g, uint32_t i)
{
  return g->type == TAG_SHORT ? get16(g->value + 2 * i, t->big) : get32(g->value + 4 * i, t->big);
}

/* A tag's only value, or otherwise when the tag is absent. */
static uint32_t one_value(const tiff_file *t, uint32_t tag, uint32_t otherwise)
{
  tiff_tag g;
  return find_tag(t, tag, &g) && g.count ? tag_value(t, &g, 0) : otherwise;
}

/* Is there another page behind the first one's tags? */
static bool has_next_page(const tiff_file *t)
{
  uint32_t at = get32(t->p + 4, t->big);
  at += 2 + 12 * get16(t->p + at, t->big);
  return t->n - at < 4 || get32(t->p + at, t->big);
}

/* read a baseline TIFF */
/* Returns false when the file is not a baseline RGB image in strips; why is then left empty, or says
   that it is huge. */
static bool read_baseline_tiff(const uint8_t *p, size_t n, image *out, char why[256])
{
  tiff_file t = { p, n, p[0] == 'M' };
  tiff_tag bits, offset, length;
  if (n < 8 || get16(p + 2, t.big) != 42) return false;
  uint32_t w = one_value(&t, 256, 0), h = one_value(&t, 257, 0), rows = one_value(&t, 278, UINT32_MAX);
  if (!find_tag(&t, 258, &bits) || bits.count != 3 || !find_tag(&t, 273, &offset)
      || !find_tag(&t, 279, &length)) return false;
  for (uint32_t i = 0; i < 3; i++) if (tag_value(&t, &bits, i) != 8) return false;
  if (one_value(&t, 259, 1) != 1 || one_value(&t, 262, 0) != 2 || one_value(&t, 277, 0) != 3)
    return false;
  if (one_value(&t, 284, 1) != 1 || one_value(&t, 274, 1) != 1 || !rows || !w || !h) return false;
  if (one_value(&t, 254, 0) || one_value(&t, 339, 1) != 1 || has_next_page(&t)) return false;
  if (rows > h) rows = h;
  uint32_t strips = (h - 1) / rows + 1;
  if (offset.count < strips || length.count < strips || !start_image(h, w, out, why)) return false;
  for (uint32_t s = 0; s < strips; s++) {
    size_t need = (size_t)(h - s * rows < rows ? h - s * rows : rows) * w * 3,
      at = tag_value(&t, &offset, s);
    if (tag_value(&t, &length, s) < need || at > n || n - at < need) { image_free(out); return false; }
    memcpy(out->rgb + (size_t)s * rows * w * 3, p + at, need);
  }
  return true;
}

/* read each format */
#ifndef HAVE_TIFF
#define HAVE_TIFF 1
#endif
#ifndef HAVE_PNG
#define HAVE_PNG 1
#endif
#ifndef HAVE_JPEG
#define HAVE_JPEG 1
#endif

/* One byte over white: c + (255 - c) (1 - a), for c that is not yet multiplied by alpha. */
static inline uint8_t over_white(unsigned c, unsigned a)
{
  return (uint8_t)((c * a + 255u * (255u - a) + 127u) / 255u);
}

/* turn by an orientation */
static inline void orient(image *m, int orientation)
{
  static const uint8_t mirror_x[9] = { 0, 0, 1, 1, 0, 0, 1, 1, 0 },
    mirror_y[9] = { 0, 0, 0, 1, 1, 0, 0, 1, 1 };
  if (orientation < 2 || orientation > 8) return;
  bool exchange = orientation > 4;
  image r = image_new(exchange ? m->w : m->h, exchange ? m->h : m->w);
  for (int y = 0; y < r.h; y++)
    for (int x = 0; x < r.w; x++) {
      int ty = mirror_y[orientation] ? r.h - 1 - y : y, tx = mirror_x[orientation] ? r.w - 1 - x : x;
      size_t from = exchange ? (size_t)tx * (size_t)m->w + (size_t)ty
        : (size_t)ty * (size_t)m->w + (size_t)tx;
      memcpy(r.rgb + ((size_t)y * (size_t)r.w + (size_t)x) * 3, m->rgb + from * 3, 3);
    }
  image_free(m);
  *m = r;
}
/* read an orientation from EXIF */
/* The orientation in EXIF's little TIFF; 1, as it lies, where there is none. */
static inline int exif_orientation(const uint8_t *p, size_t n)
{
  const tiff_file t = { p, n, n && p[0] == 'M' };
  return n < 8 || get16(p + 2, t.big) != 42 ? 1 : (int)one_value(&t, 274, 1);
}

/* hold a picture against its range */
/* most: the largest sample of what was read as bits of 16; false with the reason when all are near black. */
static inline bool in_range(unsigned most, image_how *how, char why[256])
{
  unsigned white = 4095;
  if (how->white || !most) return true;
  if (most <= white) {
    how->hint = "--white 4095 reads the samples of a 12-bit camera, --white 65535 leaves them dark";
    return fail(why, "16-bit samples of at most %u, near black, and no word in the file on what is white", most);
  }
  while (white < most) white = 2 * white + 1;
  if (white < 32767)
    snprintf(how->note, sizeof how->note, "16-bit samples of at most %u: dark; --white %u if the camera had %d bits", most,
             white, white > 8191 ? 14 : 13);
  return true;
}

/* The sample v as 8 bits where white is 255. */
static inline uint8_t scaled(int v, int white)
{
  return v <= 0 ? 0 : v >= white ? 255 : (uint8_t)((v * 255u + (unsigned)white / 2) / (unsigned)white);
}

/* read TIFF through libtiff */
#if HAVE_TIFF
#include <tiffio.h>
typedef struct { const uint8_t *p; size_t n; uint64_t at; } memory_file;
static _Thread_local char tiff_complaint[200];
static _Thread_local bool tiff_cut_off;

static void on_tiff_error(const char *module, const char *format, va_list ap)
{
  (void)module;
  if (!tiff_complaint[0]) vsnprintf(tiff_complaint, sizeof tiff_complaint, format, ap);
}

/* A tag that cannot be read is only a warning to libtiff: a palette that is cut off would become
   grey. */
static void on_tiff_warning(const char *module, const char *format, va_list ap)
{
  if (strstr(format, "IO error during reading")) tiff_cut_off = true, on_tiff_error(module, format, ap);
}

/* read a TIFF from memory */
static tsize_t memory_read(thandle_t h, tdata_t to, tsize_t size)
{
  memory_file *f = h;
  size_t left = f->at < f->n ? f->n - (size_t)f->at : 0,
    take = (size_t)size < left ? (size_t)size : left;
  memcpy(to, f->p + (left ? f->at : 0), take);
  f->at += take;
  return (tsize_t)take;
}
static tsize_t memory_write(thandle_t h, tdata_t from, tsize_t size)
{
  (void)h, (void)from, (void)size;
  return 0;
}
static toff_t memory_seek(thandle_t h, toff_t to, int whence)
{
  memory_file *f = h;
  return f->at = whence == SEEK_SET ? to : whence == SEEK_CUR ? f->at + to : f->n + to;
}
static int memory_close(thandle_t h) { (void)h; return 0; }
static toff_t memory_size(thandle_t h) { return ((memory_file *)h)->n; }
static int memory_map(thandle_t h, tdata_t *p, toff_t *n)
{
  memory_file *f = h;
  *p = (uint8_t *)(uintptr_t)f->p, *n = f->n;
  return 1;
}
static void memory_unmap(thandle_t h, tdata_t p, toff_t n) { (void)h, (void)p, (void)n; }

/* decode with libtiff */
static bool decode_tiff(TIFF *t, uint32_t h, uint32_t w, image *out, char why[256])
{
  uint16_t extras = 0, *extra = NULL;
  TIFFRGBAImage r;
  char long_why[1024] = "";
  if (!TIFFRGBAImageOK(t, long_why) || !TIFFRGBAImageBegin(&r, t, 1, long_why))
    return fail(why, "a TIFF that cannot be read: %.200s",
                tiff_complaint[0] ? tiff_complaint : long_why);
  bool alpha = TIFFGetField(t, TIFFTAG_EXTRASAMPLES, &extras, &extra) && extras
    && extra[0] != EXTRASAMPLE_UNSPECIFIED && r.alpha;
  uint32_t *raster = malloc((size_t)w * h * 4);
  r.req_orientation = r.orientation;
  bool good = raster && TIFFRGBAImageGet(&r, raster, w, h);
  for (size_t i = 0; good && i < (size_t)w * h; i++)
    for (int c = 0; c < 3; c++) {
      uint32_t v = (raster[i] >> (8 * c) & 255) + (alpha ? 255 - (raster[i] >> 24) : 0);
      out->rgb[3 * i + (size_t)c] = (uint8_t)(v < 255 ? v : 255);
    }
  free(raster);
  TIFFRGBAImageEnd(&r);
  return good || fail(why, "a damaged TIFF: %s", tiff_complaint);
}

/* ask a page what it is */
typedef struct {
  uint32_t h, w, role;
  uint16_t bits, samples, photometric, format, orientation;
  bool alpha, deeper;                                /* deeper: it has pages of its own */
} tiff_page;

static tiff_page look_at_page(TIFF *t)
{
  tiff_page p = {0};
  uint16_t n = 0, *extra = NULL;
  const uint64_t *inner;
  TIFFGetField(t, TIFFTAG_IMAGEWIDTH, &p.w), TIFFGetField(t, TIFFTAG_IMAGELENGTH, &p.h);
  TIFFGetFieldDefaulted(t, TIFFTAG_SUBFILETYPE, &p.role), TIFFGetFieldDefaulted(t, TIFFTAG_BITSPERSAMPLE, &p.bits);
  TIFFGetFieldDefaulted(t, TIFFTAG_SAMPLESPERPIXEL, &p.samples);
  if (!TIFFGetField(t, TIFFTAG_PHOTOMETRIC, &p.photometric))
    p.photometric = p.samples < 3 ? PHOTOMETRIC_MINISBLACK : PHOTOMETRIC_RGB;
  TIFFGetFieldDefaulted(t, TIFFTAG_SAMPLEFORMAT, &p.format), TIFFGetFieldDefaulted(t, TIFFTAG_ORIENTATION, &p.orientation);
  p.alpha = TIFFGetField(t, TIFFTAG_EXTRASAMPLES, &n, &extra) && n && extra[0] != EXTRASAMPLE_UNSPECIFIED;
  p.deeper = TIFFGetField(t, TIFFTAG_SUBIFD, &n, &inner) && n;
  return p;
}

/* The pages of a file; *n how many, 0 with the reason when one of them is damaged. free() them. */
static tiff_page *look_at_pages(TIFF *t, int *n, char why[256])
{
  enum { MOST = 10000 };
  tiff_page *page = NEW(tiff_page, 1);
  for (*n = 0; *n < MOST; TIFFReadDirectory(t)) {
    page = grow(page, sizeof *page * (size_t)(*n + 1));
    page[(*n)++] = look_at_page(t);
    if (TIFFLastDirectory(t)) break;
    if (tiff_complaint[0]) *n = MOST;
  }
  if (tiff_complaint[0] || tiff_cut_off) *n = 0, fail(why, "a damaged TIFF: %s", tiff_complaint);
  else if (*n == MOST) *n = 0, fail(why, "a TIFF of more than %d pages, or whose pages go in a circle", MOST);
  return page;
}

/* hear what the description says */
typedef struct { int channels, others, bits, plane[3]; bool odd_colours; } told;   /* plane: the page of red, green, blue */

enum { TOLD_MOST = 1000 };                           /* larger counts are all the same to us */

/* The number behind NAME= in a text, perhaps in quotes; otherwise when NAME is not in it before end. */
static long number_after(const char *text, const char *end, const char *name, long otherwise)
{
  const size_t n = strlen(name);
  for (const char *s = text; (s = strstr(s, name)) && s < end; s++)
    if (s > text && (s[-1] == ' ' || s[-1] == '\n') && s[n] == '=') return strtol(s + n + 1 + (s[n + 1] == '"'), NULL, 10);
  return otherwise;
}

static int count_after(const char *text, const char *end, const char *name)
{
  const long n = number_after(text, end, name, 1);
  return n < 1 ? 1 : n > TOLD_MOST ? TOLD_MOST : (int)n;
}

/* The next XML tag of a name from s on, whatever its name space; *end where it ends. NULL when there is none. */
static const char *find_tag_named(const char *from, const char *name, const char **end)
{
  const size_t n = strlen(name);
  for (const char *s = from; (s = strstr(s, name)); s += n)
    if (s > from && (s[-1] == '<' || s[-1] == ':') && s[n] == ' ' && (*end = strchr(s, '>'))) return s;
  return NULL;
}

/* Which of red, green and blue an OME colour (red in the highest byte, alpha in the lowest) is; 3: none of them. */
static int primary(uint32_t rgba)
{
  return rgba >> 8 == 0xff0000 ? 0 : rgba >> 8 == 0xff00 ? 1 : rgba >> 8 == 0xff ? 2 : 3;
}

static void hear_ome(const char *pixels, const char *end, told *d)
{
  const char *s;
  int colour[3] = { 3, 3, 3 }, n = 0, named = 0;
  d->channels = count_after(pixels, end, "SizeC"), d->bits = count_after(pixels, end, "SignificantBits");
  d->others = count_after(pixels, end, "SizeZ") * count_after(pixels, end, "SizeT");
  for (s = pixels; n < 3 && (s = find_tag_named(s, "Channel", &end)); s = end)
    named += (colour[n] = primary((uint32_t)number_after(s, end, "Color", -1))) < 3, n++;
  int page[3] = { 0, 1, 2 };
  for (s = pixels; (s = find_tag_named(s, "TiffData", &end)); s = end) {
    const long c = number_after(s, end, "FirstC", -1), at = number_after(s, end, "IFD", -1);
    if (c >= 0 && c < 3 && at >= 0) page[c] = (int)(at < 3 ? at : 3);
  }
  for (int c = 0; c < 3; c++) d->plane[named ? colour[c] % 3 : c] = page[c];
  const int seen = 1 << colour[0] | 1 << colour[1] | 1 << colour[2], pages = 1 << page[0] | 1 << page[1] | 1 << page[2];
  d->odd_colours = (named && seen != 7) || pages != 7;
}

static told hear_description(const char *text)
{
  told d = { 0, 1, 1, { 0, 1, 2 }, false };
  const char *end, *rest, *pixels = text ? find_tag_named(text, "Pixels", &end) : NULL;
  if (pixels && !find_tag_named(end, "Pixels", &rest)) hear_ome(pixels, end, &d);
  else if (text && !strncmp(text, "ImageJ=", 7)) {
    end = text + strlen(text);
    d.channels = count_after(text, end, "channels");
    d.others = count_after(text, end, "slices") * count_after(text, end, "frames");
    const int images = count_after(text, end, "images");
    if (images != d.channels * d.others) d.others = images;
  }
  return d;
}

/* choose the page */
static bool refuse_pages(int pages, const tiff_page *p, const told *d, image_how *how, char why[256])
{
  how->hint = "--page 1 takes the first; or save each image as a file of its own, a colour image as RGB";
  if (d->channels > 1 || d->others > 1)
    return fail(why, "a TIFF of %d page%s, %u x %u, described as %d channel%s%s%s: not one image in red, green and blue", pages,
                pages > 1 ? "s" : "", p->w, p->h, d->channels, d->channels == 1 ? "" : "s", d->others > 1 ? " of a stack" : "",
                d->odd_colours ? " in other colours" : "");
  return fail(why, "a TIFF of %d pages of %u x %u%s: which is the image?", pages, p->w, p->h,
              p->samples == 1 ? ", each without colours" : "");
}

/* Pages of one size by now: are their samples of one kind? */
static bool is_alike(const tiff_page *a, const tiff_page *b)
{
  return a->h == b->h && a->bits == b->bits && a->samples == b->samples && a->photometric == b->photometric
      && a->format == b->format && a->orientation == b->orientation;
}

/* The page to read into chosen[0], or the three of one image into chosen[0..2]; returns how many, 0 with the reason. */
static int choose_pages(const tiff_page *page, int pages, const told *d, image_how *how, int chosen[3], char why[256])
{
  uint64_t most = 0;
  int n = 0, full = 0;
  if (how->page > pages) fail(why, "a TIFF of %d page%s, and --page %d", pages, pages > 1 ? "s" : "", how->page);
  chosen[0] = how->page - 1;
  if (how->page) return how->page <= pages;
  if (page[0].deeper && page[0].role & FILETYPE_REDUCEDIMAGE)
    return fail(why, "a TIFF of a thumbnail, its image as raw data of a camera; save it as RGB");
  for (int i = 0; i < pages; i++) full += !(page[i].role & (FILETYPE_REDUCEDIMAGE | FILETYPE_MASK));
  for (int i = 0; i < pages; i++) {
    const uint64_t area = (uint64_t)page[i].h * page[i].w;
    if (area < most || (full && page[i].role & (FILETYPE_REDUCEDIMAGE | FILETYPE_MASK))) continue;
    if (area > most) n = 0, most = area;
    if (n < 3) chosen[n] = i;
    n++;
  }
  const tiff_page *p = &page[chosen[0]];
  const bool grey = p->samples == 1 && p->photometric == PHOTOMETRIC_MINISBLACK;
  if (n == 1 && (!grey || d->channels * d->others <= 1)) return 1;
  bool planes = n == 3 && d->channels == 3 && d->others == 1 && !d->odd_colours;
  for (int i = 1; i < 3 && planes; i++) planes = grey && is_alike(p, &page[chosen[i]]);
  if (!planes) return refuse_pages(n, p, d, how, why);
  const int order[3] = { chosen[0], chosen[1], chosen[2] };
  for (int c = 0; c < 3; c++) chosen[c] = order[d->plane[c]];
  return 3;
}

/* unpack a page's samples */
static unsigned unpacked(const uint8_t *row, size_t i, unsigned bits)
{
  if (bits == 8) return row[i];
  if (bits == 16) return ((const uint16_t *)(const void *)row)[i];
  unsigned v = 0;
  for (size_t b = i * bits; b < (i + 1) * bits; b++) v = 2 * v + (row[b / 8] >> (7 - b % 8) & 1);
  return v;
}

/* The first n samples of each pixel of the current page into to, every step-th: (H, W, step). */
static bool unpack_samples(TIFF *t, const tiff_page *p, int n, int step, uint16_t *to, char why[256])
{
  const bool tiled = TIFFIsTiled(t);
  uint16_t planar = PLANARCONFIG_CONTIG;
  uint32_t bh = p->h, bw = p->w;
  TIFFGetFieldDefaulted(t, TIFFTAG_PLANARCONFIG, &planar), TIFFGetFieldDefaulted(t, TIFFTAG_ROWSPERSTRIP, &bh);
  if (tiled) TIFFGetField(t, TIFFTAG_TILELENGTH, &bh), TIFFGetField(t, TIFFTAG_TILEWIDTH, &bw);
  if (!bh || !bw) return fail(why, "a damaged TIFF: strips or tiles without size");
  if (bh > p->h && !tiled) bh = p->h;
  const bool apart = planar == PLANARCONFIG_SEPARATE;
  const tmsize_t size = tiled ? TIFFTileSize(t) : TIFFStripSize(t), row = tiled ? TIFFTileRowSize(t) : TIFFScanlineSize(t);
  const uint32_t across = (p->w - 1) / bw + 1, blocks = across * ((p->h - 1) / bh + 1);
  const size_t in_row = apart ? 1 : p->samples;
  if (row <= 0 || size <= 0 || (uint64_t)row * 8 < (uint64_t)bw * in_row * p->bits || size / row < bh)
    return fail(why, "a damaged TIFF: strips or tiles of a size of their own");
  uint8_t *block = new_bytes((size_t)size);
  bool good = true;
  for (uint32_t i = 0; good && i < blocks * (apart ? (uint32_t)n : 1); i++) {
    const uint32_t y0 = i % blocks / across * bh, x0 = i % blocks % across * bw;
    const uint32_t rows = y0 + bh <= p->h ? bh : p->h - y0, columns = x0 + bw <= p->w ? bw : p->w - x0;
    const tmsize_t got = tiled ? TIFFReadEncodedTile(t, i, block, size) : TIFFReadEncodedStrip(t, i, block, row * rows);
    good = got >= row * (tmsize_t)rows;
    /* spread a block */
    for (uint32_t y = 0; good && y < rows; y++)
      for (uint32_t x = 0; x < columns; x++)
        for (size_t s = 0; s < (apart ? 1 : (size_t)n); s++)
          to[((size_t)(y0 + y) * p->w + x0 + x) * (size_t)step + (apart ? i / blocks : s)] =
            (uint16_t)unpacked(block + (size_t)row * y, x * in_row + s, p->bits);
  }
  free(block);
  return good || fail(why, "a damaged TIFF: %s", tiff_complaint[0] ? tiff_complaint : "a strip or tile cut short");
}
/* make samples RGB */
static int white_of(TIFF *t, const tiff_page *p, const told *d, const image_how *how)
{
  const int top = (1 << (p->format == SAMPLEFORMAT_INT ? p->bits - 1 : p->bits)) - 1;
  uint16_t most = 0;
  double value = 0;
  if (p->bits <= 8) return top;
  if (how->white) return how->white;
  if (d->bits > 1 && d->bits < p->bits) value = (1 << d->bits) - 1;
  else if (!TIFFGetField(t, TIFFTAG_SMAXSAMPLEVALUE, &value) && TIFFGetField(t, TIFFTAG_MAXSAMPLEVALUE, &most)) value = most;
  int white = 255;
  while (white < top && white < value) white = 2 * white + 1;
  return value > 0 && white < top ? white : top;
}

static double from_lab(double t) { return t > 6 / 29.0 ? t * t * t : 3 * (6 / 29.0) * (6 / 29.0) * (t - 4 / 29.0); }

static void lab_to_rgb(double l, double a, double b, uint8_t rgb[3])
{
  static const double matrix[3][3] = { { 3.1338561, -1.6168667, -0.4906146 }, { -0.9787684, 1.9161415, 0.0334540 },
                                       { 0.0719453, -0.2289914, 1.4052427 } };
  const double f = (l + 16) / 116, x = 0.96422 * from_lab(f + a / 500), y = from_lab(f), z = 0.82521 * from_lab(f - b / 200);
  for (int c = 0; c < 3; c++) {
    const double v = matrix[c][0] * x + matrix[c][1] * y + matrix[c][2] * z;
    const double screen = v <= 0.0031308 ? 12.92 * v : 1.055 * pow(v, 1 / 2.4) - 0.055;
    rgb[c] = (uint8_t)(screen <= 0 ? 0 : screen >= 1 ? 255 : screen * 255 + 0.5);
  }
}

static void lab_pixel(const tiff_page *p, const uint16_t v[3], uint8_t rgb[3])
{
  const bool wide = p->bits == 16, icc = p->photometric == PHOTOMETRIC_ICCLAB;
  double ab[2];
  for (int k = 0; k < 2; k++) {
    const int u = v[k + 1], s = wide ? (int16_t)u : (int8_t)u;
    ab[k] = (icc ? u - (wide ? 32768 : 128) : s) / (wide ? 256.0 : 1);
  }
  lab_to_rgb(v[0] * 100.0 / (!wide ? 255 : icc ? 65280 : 65535), ab[0], ab[1], rgb);
}

static bool is_lab(const tiff_page *p) { return p->photometric == PHOTOMETRIC_CIELAB || p->photometric == PHOTOMETRIC_ICCLAB; }

/* v (H, W, n) as RGB, n = 1 or 3 */
static bool colour_samples(const tiff_page *p, const uint16_t *v, int n, int white, image_how *how, image *out, char why[256])
{
  const size_t pixels = (size_t)out->h * (size_t)out->w;
  const bool is_signed = p->format == SAMPLEFORMAT_INT;
  int least = 0, most = 0;
  for (size_t i = 0; i < pixels; i++) {
    uint8_t *rgb = out->rgb + 3 * i;
    if (is_lab(p)) { lab_pixel(p, v + 3 * i, rgb); continue; }
    for (int c = 0; c < 3; c++) {
      const int u = v[(size_t)n * i + (size_t)(n == 3 ? c : 0)], s = !is_signed ? u : p->bits == 16 ? (int16_t)u : (int8_t)u;
      if (s < least) least = s;
      if (s > most) most = s;
      const int light = p->photometric == PHOTOMETRIC_MINISWHITE ? white - s : s;
      rgb[c] = n == 1 && white == 65535 ? (uint8_t)(light >> 8) : scaled(light, white);
    }
  }
  if (least < 0 && !how->white) {
    how->hint = "--white N reads them: N becomes white, and what is below 0 black";
    return fail(why, "signed samples from %d to %d: what is below 0 has no colour", least, most);
  }
  if (p->bits != 16 || (white != 65535 && white != 32767) || p->photometric == PHOTOMETRIC_MINISWHITE) return true;
  return in_range((unsigned)most, how, why);
}

/* read a TIFF */
/* What nobody can say the colours of; NULL when there is nothing of the kind. */
static const char *strange(const tiff_page *p, image_how *how)
{
  const bool grey = p->photometric == PHOTOMETRIC_MINISBLACK || p->photometric == PHOTOMETRIC_MINISWHITE;
  how->hint = "save it with 8 or 16 bits a sample";
  if (p->format == SAMPLEFORMAT_IEEEFP) return say("a TIFF of %d-bit floating-point samples", p->bits);
  if (p->format > SAMPLEFORMAT_VOID) return "a TIFF of complex samples";
  if (p->bits > 16) return say("a TIFF of %d-bit samples", p->bits);
  if (p->format == SAMPLEFORMAT_INT && p->bits != 8 && p->bits != 16) return say("a TIFF of signed %d-bit samples", p->bits);
  how->hint = "save it as RGB";
  if (grey && (p->samples > 3 || (p->samples == 2 && !p->alpha)))
    return say("a TIFF of %d channels, and no word on which are red, green and blue", p->samples);
  if (is_lab(p) && (p->samples < 3 || (p->bits != 8 && p->bits != 16)))
    return say("CIELab of %d samples with %d bits", p->samples, p->bits);
  how->hint = NULL;
  return NULL;
}

/* Must the samples be unpacked here? */
static bool is_ours(const tiff_page *p, int planes, int white)
{
  const bool odd = p->bits != 1 && p->bits != 2 && p->bits != 4 && p->bits != 8 && p->bits != 16;
  return planes == 3 || odd || p->format == SAMPLEFORMAT_INT || is_lab(p) || (p->bits == 16 && white != 65535)
      || (p->photometric <= PHOTOMETRIC_RGB && !p->alpha && (p->bits == 16 || (p->samples == 3 && p->photometric < PHOTOMETRIC_RGB)));
}
static bool read_samples(TIFF *t, const tiff_page *p, const int chosen[3], int planes, int white, image_how *how, image *out,
                         char why[256])
{
  const int n = planes == 3 || p->samples >= 3 ? 3 : 1;
  if (p->photometric > PHOTOMETRIC_RGB && !is_lab(p))
    return fail(why, "a TIFF of %d-bit samples that are neither grey, RGB nor CIELab", p->bits);
  if (p->alpha) return fail(why, "a TIFF of %d-bit samples with alpha; save it without", p->bits);
  uint16_t *v = NEW(uint16_t, (size_t)out->h * (size_t)out->w * (size_t)n);
  bool good = true;
  for (int c = 0; good && c < planes; c++)
    good = planes == 1 ? unpack_samples(t, p, n, n, v, why)
         : TIFFSetDirectory(t, (tdir_t)chosen[c]) ? unpack_samples(t, p, 1, 3, v + c, why)
         : fail(why, "a damaged TIFF: %s", tiff_complaint);
  good = good && colour_samples(p, v, n, white, how, out, why);
  free(v);
  return good;
}

static bool read_page(TIFF *t, const tiff_page *p, const int chosen[3], int planes, const told *d, image_how *how, image *out,
                      char why[256])
{
  const char *odd = strange(p, how);
  if (odd) return fail(why, "%s", odd);
  if ((TIFFIsTiled(t) ? TIFFTileSize64(t) : TIFFStripSize64(t)) > (uint64_t)16 * IMAGE_MAX_PIXELS)
    return fail(why, "a TIFF with strips or tiles larger than any image that is read");
  if (!start_image(p->h, p->w, out, why)) return false;
  const int white = white_of(t, p, d, how);
  if (is_ours(p, planes, white)) {
    if (!read_samples(t, p, chosen, planes, white, how, out, why)) return false;
  } else if (!decode_tiff(t, p->h, p->w, out, why)) return false;
  orient(out, p->orientation);
  return true;
}

static bool read_tiff(const uint8_t *p, size_t n, image_how *how, image *out, char why[256])
{
  memory_file f = { p, n, 0 };
  tiff_complaint[0] = 0, tiff_cut_off = false;
  TIFFSetErrorHandler(on_tiff_error), TIFFSetWarningHandler(on_tiff_warning);
  TIFF *t = TIFFClientOpen("memory", "r", &f, memory_read, memory_write, memory_seek, memory_close,
                           memory_size, memory_map,
                           memory_unmap);
  if (!t) return fail(why, "a damaged TIFF: %s", tiff_complaint);
  const char *text = NULL;
  TIFFGetField(t, TIFFTAG_IMAGEDESCRIPTION, &text);
  const told d = hear_description(text);
  int pages, chosen[3] = {0};
  tiff_page *page = look_at_pages(t, &pages, why);
  const int planes = pages ? choose_pages(page, pages, &d, how, chosen, why) : 0;
  bool good = planes && (TIFFSetDirectory(t, (tdir_t)chosen[0]) || fail(why, "a damaged TIFF: %s", tiff_complaint));
  good = good && read_page(t, &page[chosen[0]], chosen, planes, &d, how, out, why);
  TIFFClose(t);
  free(page);
  return good;
}
#else
static bool read_tiff(const uint8_t *p, size_t n, image_how *how, image *out, char why[256])
{
  (void)p, (void)n, (void)how, (void)out;
  return fail(why, "a TIFF other than uncompressed RGB, and this build has no libtiff");
}
#endif
/* read PNG through libpng */
#if HAVE_PNG
#include <png.h>
#include <setjmp.h>
typedef struct { const uint8_t *p; size_t left; char *why; image *out; image_how *how; uint8_t *rgba, **row; } png_reading;

static void on_png_error(png_structp png, png_const_charp message)
{
  png_reading *r = png_get_error_ptr(png);
  fail(r->why, "a damaged PNG: %s", message);
  png_longjmp(png, 1);
}
static void on_png_warning(png_structp png, png_const_charp message) { (void)png, (void)message; }
static void png_take(png_structp png, png_bytep to, png_size_t n)
{
  png_reading *r = png_get_io_ptr(png);
  if (n > r->left) png_error(png, "the file ends too early");
  memcpy(to, r->p, n);
  r->p += n, r->left -= n;
}

/* decode with libpng */
/* rgba, 8 or 16 bits a sample, laid over white; false with the reason when white is not known. */
static bool lay_over_white(const uint8_t *rgba, int bytes, image_how *how, image *out, char why[256])
{
  const size_t pixels = (size_t)out->h * (size_t)out->w;
  const int white = how->white ? how->white : 65535;
  unsigned most = 0;
  for (size_t i = 0; i < pixels; i++) {
    const uint8_t *p = rgba + 4 * (size_t)bytes * i;
    const unsigned alpha = bytes == 1 ? p[3] : scaled(p[6] << 8 | p[7], 65535);
    for (int c = 0; c < 3; c++) {
      const unsigned v = bytes == 1 ? p[c] : (unsigned)(p[2 * c] << 8 | p[2 * c + 1]);
      if (v > most && alpha) most = v;
      out->rgb[3 * i + (size_t)c] = over_white(bytes == 1 ? v : scaled((int)v, white), alpha);
    }
  }
  return bytes == 1 || in_range(most, how, why);
}

static void decode_png(png_structp png, png_infop info, png_reading *r)
{
  png_read_info(png, info);
  uint32_t w = png_get_image_width(png, info), h = png_get_image_height(png, info);
  const int bytes = png_get_bit_depth(png, info) == 16 ? 2 : 1;
  if (!start_image(h, w, r->out, r->why)) png_longjmp(png, 1);
  png_set_expand(png), png_set_gray_to_rgb(png), png_set_add_alpha(png, bytes == 2 ? 65535 : 255, PNG_FILLER_AFTER);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  const size_t row = (size_t)w * 4 * (size_t)bytes;
  if (png_get_rowbytes(png, info) != row) png_error(png, "rows of an unknown form");
  r->rgba = NEW(uint8_t, row * h), r->row = NEW(uint8_t *, h);
  for (size_t y = 0; y < h; y++) r->row[y] = r->rgba + y * row;
  png_read_image(png, r->row);
  png_read_end(png, NULL);
  if (!lay_over_white(r->rgba, bytes, r->how, r->out, r->why)) png_longjmp(png, 1);
}

static int png_orientation(const uint8_t *p, size_t n)
{
  for (size_t at = 8, length; n - at >= 12; at += length + 12) {
    length = get32(p + at, true);
    if (length > n - at - 12) break;
    if (!memcmp(p + at + 4, "eXIf", 4)) return exif_orientation(p + at + 8, length);
  }
  return 1;
}

static bool read_png(const uint8_t *p, size_t n, image_how *how, image *out, char why[256])
{
  png_reading r = { p, n, why, out, how, NULL, NULL };
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, on_png_error, on_png_warning);
  png_infop info = png ? png_create_info_struct(png) : NULL;
  volatile bool good = false;
  if (!info) return fail(why, "no room for a PNG reader");
  png_set_read_fn(png, &r, png_take);
  png_set_user_limits(png, IMAGE_MAX_PIXELS, IMAGE_MAX_PIXELS);
  png_set_chunk_malloc_max(png, 8 * 1000 * 1000);
  if (!setjmp(png_jmpbuf(png))) decode_png(png, info, &r), good = true;
  png_destroy_read_struct(&png, &info, NULL);
  free(r.rgba), free(r.row);
  if (good) orient(out, png_orientation(p, n));
  return good;
}
#else
static bool read_png(const uint8_t *p, size_t n, image_how *how, image *out, char why[256])
{
  (void)p, (void)n, (void)how, (void)out;
  return fail(why, "a PNG, and this build has no libpng");
}
#endif
/* read JPEG through libjpeg */
#if HAVE_JPEG
#include <jpeglib.h>
#include <jerror.h>
#include <setjmp.h>
typedef struct { struct jpeg_error_mgr base; jmp_buf back; char *why; uint8_t *row; bool no_end; } jpeg_errors;

static void on_jpeg_error(j_common_ptr j)
{
  jpeg_errors *e = (jpeg_errors *)j->err;
  char message[JMSG_LENGTH_MAX];
  e->base.format_message(j, message);
  fail(e->why, "a damaged JPEG: %.180s", message);
  longjmp(e->back, 1);
}
static void on_jpeg_message(j_common_ptr j, int level)
{
  int code = j->err->msg_code;
  if (level < 0 && code == JWRN_JPEG_EOF) ((jpeg_errors *)j->err)->no_end = true;
  if (level < 0 && (code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE || code == JWRN_BOGUS_PROGRESSION))
    on_jpeg_error(j);
}
static void print_nothing(j_common_ptr j) { (void)j; }
static void on_jpeg_progress(j_common_ptr j)
{
  if (j->is_decompressor && ((j_decompress_ptr)j)->input_scan_number > 500)
    ERREXIT(j, JERR_BAD_PROGRESSION);
}

/* decode with libjpeg */
static void check_end(j_decompress_ptr j, jpeg_errors *e)
{
  bool whole = j->progressive_mode ? j->coef_bits != NULL : !jpeg_has_multiple_scans(j);
  if (!e->no_end) return;
  for (int c = 0; whole && j->progressive_mode && c < j->num_components; c++)
    for (int k = 0; k < DCTSIZE2; k++) whole = whole && j->coef_bits[c][k] == 0;
  if (whole) return;
  fail(e->why, "a damaged JPEG: it ends before its last scan");
  longjmp(e->back, 1);
}

/* How the camera was held, by the first EXIF segment. */
static int jpeg_orientation(j_decompress_ptr j)
{
  for (jpeg_saved_marker_ptr m = j->marker_list; m; m = m->next)
    if (m->marker == JPEG_APP0 + 1 && m->data_length > 6 && !memcmp(m->data, "Exif\0", 6))
      return exif_orientation(m->data + 6, m->data_length - 6);
  return 1;
}

static void decode_jpeg(struct jpeg_decompress_struct *j, image_how *how, image *out, jpeg_errors *e)
{
  jpeg_save_markers(j, JPEG_APP0 + 1, 65535);
  jpeg_read_header(j, TRUE);
  const int turned = jpeg_orientation(j);
  if (!start_image(j->image_height, j->image_width, out, e->why)) longjmp(e->back, 1);
  bool four = j->num_components == 4;
  j->out_color_space = four ? JCS_CMYK : JCS_RGB;
  j->dct_method = JDCT_ISLOW;
  jpeg_start_decompress(j);
  e->row = NEW(uint8_t, (size_t)out->w * 4);
  while (j->output_scanline < j->output_height) {
    uint8_t *rgb = out->rgb + (size_t)j->output_scanline * (size_t)out->w * 3,
      *row = four ? e->row : rgb;
    jpeg_read_scanlines(j, &row, 1);
    for (size_t x = 0; four && x < (size_t)out->w; x++)
      for (size_t c = 0; c < 3; c++) {
        unsigned ink = row[4 * x + c], black = row[4 * x + 3];
        rgb[3 * x + c] = (uint8_t)(j->saw_Adobe_marker ? ink * black / 255
                                   : (255 - ink) * (255 - black) / 255);
      }
  }
  check_end(j, e);
  jpeg_finish_decompress(j);
  if (e->no_end) snprintf(how->note, sizeof how->note, "a JPEG without its end marker: all of its pixels are there, and it was read");
  orient(out, turned);
}

static bool read_jpeg(const uint8_t *p, size_t n, image_how *how, image *out, char why[256])
{
  struct jpeg_decompress_struct j = {0};
  struct jpeg_progress_mgr watch = { .progress_monitor = on_jpeg_progress };
  jpeg_errors e = { .why = why };
  volatile bool good = false;
  j.err = jpeg_std_error(&e.base);
  e.base.error_exit = on_jpeg_error, e.base.emit_message = on_jpeg_message,
    e.base.output_message = print_nothing;
  if (!setjmp(e.back)) {
    jpeg_create_decompress(&j);
    j.progress = &watch;
    jpeg_mem_src(&j, (uint8_t *)(uintptr_t)p, n);
    decode_jpeg(&j, how, out, &e);
    good = true;
  }
  jpeg_destroy_decompress(&j);
  free(e.row);
  return good;
}
#else
static bool read_jpeg(const uint8_t *p, size_t n, image_how *how, image *out, char why[256])
{
  (void)p, (void)n, (void)how, (void)out;
  return fail(why, "a JPEG, and this build has no libjpeg");
}
#endif
/* read BMP */
typedef struct { int32_t h, w; uint32_t bits, compression, colours, palette, entry,
                 pixels; bool top_down; uint32_t mask[3]; } bmp_header;

static bool read_bmp_header(const uint8_t *p, size_t n, bmp_header *b, char why[256])
{
  if (n < 26) return fail(why, "a damaged BMP: only %zu bytes", n);
  uint32_t size = get32(p + 14, 0), old = size == 12;
  if (!old && (size < 40 || size > 1024 || n < 14 + (size_t)size))
    return fail(why, "a damaged BMP: a header of %u bytes", size);
  b->w = old ? (int32_t)get16(p + 18, 0) : (int32_t)get32(p + 18, 0);
  b->h = old ? (int32_t)get16(p + 20, 0) : (int32_t)get32(p + 22, 0);
  b->bits = get16(p + (old ? 24 : 28), 0);
  b->compression = old ? 0 : get32(p + 30, 0), b->colours = old ? 0 : get32(p + 46, 0);
  b->entry = old ? 3 : 4, b->palette = 14 + size, b->pixels = get32(p + 10, 0);
  b->top_down = b->h < 0;
  if (b->w <= 0 || b->h == INT32_MIN || !b->h)
    return fail(why, "a damaged BMP: %d x %d pixels", b->w, b->h);
  b->h = abs(b->h);
  if (b->bits <= 8 && (!b->colours || b->colours > 1u << b->bits)) b->colours = 1u << b->bits;
  static const uint32_t rgb555[3] = { 0x7c00, 0x3e0, 0x1f }, rgb888[3] = { 0xff0000, 0xff00, 0xff };
  memcpy(b->mask, b->bits == 16 ? rgb555 : rgb888, sizeof b->mask);
  if (b->compression == 3 || b->compression == 6) {
    if (n < 66 || (b->bits != 16 && b->bits != 32))
      return fail(why, "a damaged BMP: bit fields of %u bits", b->bits);
    for (int c = 0; c < 3; c++) b->mask[c] = get32(p + 54 + 4 * c, 0);
  } else if (b->compression && !(b->compression == 1 && b->bits == 8 && !b->top_down) && !(b->compression == 2 && b->bits == 4 && !b->top_down))
    return fail(why, "a BMP with compression %u; save it uncompressed", b->compression);
  if (b->bits != 1 && b->bits != 4 && b->bits != 8 && b->bits != 16 && b->bits != 24 && b->bits != 32)
    return fail(why, "a damaged BMP: %u bits a pixel", b->bits);
  return true;
}

/* decode a BMP's pixels */
static uint8_t bmp_channel(uint32_t v, uint32_t mask)
{
  if (!mask) return 0;
  int low = 0;
  while (!(mask >> low & 1)) low++;
  uint64_t m = mask >> low;
  return (uint8_t)((255u * ((uint64_t)(v & mask) >> low) + m / 2) / m);
}

static void bmp_pixel(const uint8_t *file, const bmp_header *b, const uint8_t *row, size_t x,
                      uint8_t rgb[3])
{
  if (b->bits == 24) { rgb[0] = row[3*x + 2], rgb[1] = row[3*x + 1], rgb[2] = row[3*x]; return; }
  if (b->bits > 8) {
    uint32_t v = b->bits == 32 ? get32(row + 4 * x, 0) : get16(row + 2 * x, 0);
    for (int c = 0; c < 3; c++) rgb[c] = bmp_channel(v, b->mask[c]);
    return;
  }
  uint32_t in_byte = 8 / b->bits, shift = 8 - b->bits * (1 + x % in_byte),
    i = row[x / in_byte] >> shift & ((1u << b->bits) - 1);
  const uint8_t *e = file + b->palette + (size_t)b->entry * i;
  for (int c = 0; c < 3; c++) rgb[c] = i < b->colours ? e[2 - c] : 0;
}

/* The runs as indices, a byte each, (H, W) from the bottom up; false when they leave the picture or end early. */
static bool unpack_runs(const uint8_t *p, const uint8_t *end, const bmp_header *b, uint8_t *to)
{
  const bool half = b->bits == 4;
  int y = 0, x = 0;
  while (y < b->h && end - p >= 2) {
    int n = p[0], what = p[1];
    const uint8_t *colours = p + 1;
    p += 2;
    if (!n && what == 0) { y++, x = 0; continue; }
    if (!n && what == 1) return true;
    if (!n && what == 2) {
      if (end - p < 2) return false;
      x += p[0], y += p[1], p += 2;
      continue;
    }
    const bool run = n > 0;
    if (!run) n = what, colours = p, p += ((half ? (n + 1) / 2 : n) + 1) & ~1;
    if (p > end || x + n > b->w) return false;
    for (int i = 0; i < n; i++) {
      const int byte = colours[run ? 0 : half ? i / 2 : i];
      to[(size_t)y * (size_t)b->w + (size_t)x++] = (uint8_t)(!half ? byte : i % 2 ? byte & 15 : byte >> 4);
    }
  }
  return y >= b->h;
}

static bool read_runs(const uint8_t *p, size_t n, const bmp_header *b, image *out, char why[256])
{
  const size_t palette_end = b->palette + (size_t)b->entry * b->colours, pixels = (size_t)b->h * (size_t)b->w;
  const size_t start = b->pixels < 26 || b->pixels >= n ? palette_end : b->pixels;
  if (palette_end > n) return fail(why, "a damaged BMP: the palette is cut off");
  uint8_t *index = new_bytes(pixels);
  const bool good = unpack_runs(p + start, p + n, b, index);
  for (size_t i = 0; good && i < pixels; i++) {
    const size_t y = (size_t)b->h - 1 - i / (size_t)b->w, x = i % (size_t)b->w;
    for (size_t c = 0; c < 3; c++)
      out->rgb[3 * (y * (size_t)b->w + x) + c] = index[i] < b->colours ? p[b->palette + (size_t)b->entry * index[i] + 2 - c] : 0;
  }
  free(index);
  return good || fail(why, "a damaged BMP: its runs leave the picture, or end before it");
}

static bool read_bmp(const uint8_t *p, size_t n, image *out, char why[256])
{
  bmp_header b = {0};
  if (!read_bmp_header(p, n, &b, why) || !start_image((uint64_t)b.h, (uint64_t)b.w, out, why))
    return false;
  if (b.compression == 1 || b.compression == 2) return read_runs(p, n, &b, out, why);
  size_t palette_end = b.palette + (b.bits <= 8 ? (size_t)b.entry * b.colours : 0), start = b.pixels;
  size_t stride = ((size_t)b.w * b.bits + 31) / 32 * 4, last = ((size_t)b.w * b.bits + 7) / 8,
    need = stride * ((size_t)b.h - 1) + last;
  if (palette_end > n) return fail(why, "a damaged BMP: the palette is cut off");
  if (start < 26 || start >= n) start = palette_end;
  if (n - start < need)
    return fail(why, "a BMP cut short: %zu bytes of pixels, %zu expected", n - start, need);
  for (size_t y = 0; y < (size_t)b.h; y++) {
    const uint8_t *row = p + start + stride * (b.top_down ? y : (size_t)b.h - 1 - y);
    for (size_t x = 0; x < (size_t)b.w; x++)
      bmp_pixel(p, &b, row, x, out->rgb + (y * (size_t)b.w + x) * 3);
  }
  return true;
}
/* tell the format by its first bytes */
static const struct { const char *what; int at; const char *bytes; int n; bool ours; } kinds[] = {
  { "TIFF", 0, "II*\0", 4, true }, { "TIFF", 0, "MM\0*", 4, true }, { "TIFF", 0, "II+\0", 4, true }, { "TIFF", 0, "MM\0+", 4, true },
  { "PNG", 0, "\x89PNG\r\n\x1a\n", 8, true }, { "JPEG", 0, "\xff\xd8\xff", 3, true },
  { "WebP", 8, "WEBP", 4, false }, { "JPEG 2000", 4, "jP  \r\n", 6, false }, { "JPEG 2000", 0, "\xff\x4f\xff\x51", 4, false },
  { "JPEG XL", 4, "JXL \r\n", 6, false }, { "JPEG XL", 0, "\xff\x0a", 2, false }, { "JPEG XR", 0, "II\xbc", 3, false },
  { "HEIC", 4, "ftyphei", 7, false }, { "HEIC", 4, "ftypmif1", 8, false }, { "AVIF", 4, "ftypavi", 7, false },
  { "GIF", 0, "GIF8", 4, false }, { "Photoshop", 0, "8BPS", 4, false }, { "DICOM", 128, "DICM", 4, false },
  { "Zeiss CZI", 0, "ZISRAWFILE", 10, false } };

const char *image_kind(const void *bytes, size_t n, bool *ours)
{
  const uint8_t *p = bytes;
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (n >= (size_t)(kinds[i].at + kinds[i].n) && !memcmp(p + kinds[i].at, kinds[i].bytes, (size_t)kinds[i].n)) {
      *ours = kinds[i].ours;
      return kinds[i].what;
    }
  /* two letters begin many a text: a BMP must have a header of a known size, too */
  const uint32_t head = n >= 26 && p[0] == 'B' && p[1] == 'M' ? get32(p + 14, false) : 0;
  *ours = head == 12 || (head >= 40 && head <= 124);
  return *ours ? "BMP" : NULL;
}

/* read as the format says */
static bool refuse_kind(const uint8_t *p, size_t n, image_how *how, char why[256])
{
  bool ours;
  const char *what = image_kind(p, n, &ours);
  if (!n) return fail(why, "an empty file");
  if (!what || ours) return fail(why, "neither TIFF, PNG, JPEG nor BMP");
  how->hint = "save it as PNG or TIFF; --skip-bad leaves it out";
  return fail(why, "%s, which is not read (TIFF, PNG, JPEG and BMP are)", what);
}

bool image_read_as(const void *bytes, size_t n, image_how *how, image *out, char why[256])
{
  const uint8_t *p = bytes;
  bool good;
  *out = (image){0}, why[0] = 0, how->note[0] = 0, how->hint = NULL;
  if (n >= 4 && ((p[0] == 'I' && p[1] == 'I' && p[3] == 0)
                 || (p[0] == 'M' && p[1] == 'M' && p[2] == 0)))
    good = read_baseline_tiff(p, n, out, why) || (!why[0] && read_tiff(p, n, how, out, why));
  else if (n >= 8 && !memcmp(p, "\x89PNG\r\n\x1a\n", 8)) good = read_png(p, n, how, out, why);
  else if (n >= 3 && !memcmp(p, "\xff\xd8\xff", 3)) good = read_jpeg(p, n, how, out, why);
  else if (n >= 2 && p[0] == 'B' && p[1] == 'M') good = read_bmp(p, n, out, why);
  else good = refuse_kind(p, n, how, why);
  if (!good) image_free(out);
  return good;
}

/* read an image, with nothing left open */
bool image_read_bytes(const void *bytes, size_t n, image *out, char why[256])
{
  return image_read_as(bytes, n, &(image_how){0}, out, why);
}

char *image_file(const char *path, size_t *n, char why[256])
{
  struct stat st;
  if (stat(path, &st) || st.st_size <= 1000000000) return file_load(path, n, why);
  fail(why, "a file of %lld MB; at most 1000 are read", (long long)st.st_size / 1000000);
  return NULL;
}

bool image_read(const char *path, image *out, char why[256])
{
  size_t n;
  image_how how = {0};
  *out = (image){0};
  char *bytes = image_file(path, &n, why);
  const bool good = bytes && image_read_as(bytes, n, &how, out, why);
  if (good && how.note[0]) warn(path, how.note, NULL);
  free(bytes);
  return good;
}

/* write a PNG by libpng */
#if HAVE_PNG
void image_write_png(const char *path, const image *m)
{
  atomic_file *a = file_create(path);
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, on_png_warning);
  png_infop info = png ? png_create_info_struct(png) : NULL;
  if (!info || setjmp(png_jmpbuf(png))) file_write_error(path);
  png_init_io(png, a->f);
  png_set_IHDR(png, info, (uint32_t)m->w, (uint32_t)m->h, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  png_set_compression_level(png, 9);
  png_write_info(png, info);
  for (int y = 0; y < m->h; y++) png_write_row(png, m->rgb + (size_t)y * (size_t)m->w * 3);
  png_write_end(png, NULL);
  png_destroy_write_struct(&png, &info);
  file_commit(a);
}
#endif

/* write a PNG without a library */
#if !HAVE_PNG
static uint32_t crc32_of(const uint8_t *p, size_t n)
{
  uint32_t c = 0xffffffff;
  for (size_t i = 0; i < n; i++) {
    c ^= p[i];
    for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0xedb88320 : c >> 1;
  }
  return ~c;
}

static void put32_big(uint8_t *p, uint32_t v)
{
  for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* chunk: 4 bytes of room, the name, n bytes of data, 4 bytes of room; length and CRC are put in. */
static void write_chunk(FILE *f, const char *path, uint8_t *chunk, size_t n)
{
  put32_big(chunk, (uint32_t)n), put32_big(chunk + 8 + n, crc32_of(chunk + 4, n + 4));
  if (fwrite(chunk, 1, n + 12, f) != n + 12) file_write_error(path);
}

/* raw (n) as a zlib stream of stored blocks at to, which has room for n + 5 bytes a block + 6; bytes
   written. */
static size_t zlib_store(const uint8_t *raw, size_t n, uint8_t *to)
{
  uint8_t *p = to;
  uint32_t a = 1, b = 0;
  *p++ = 0x78, *p++ = 1;
  for (size_t at = 0; at < n; at += 65535) {
    const uint32_t part = (uint32_t)(n - at < 65535 ? n - at : 65535);
    *p++ = at + part == n, put16(p, part), put16(p + 2, ~part & 0xffff);
    memcpy(p + 4, raw + at, part), p += 4 + part;
  }
  for (size_t i = 0; i < n; i++) a = (a + raw[i]) % 65521, b = (b + a) % 65521;
  put32_big(p, b << 16 | a);
  return (size_t)(p + 4 - to);
}

void image_write_png(const char *path, const image *m)
{
  const size_t row = (size_t)m->w * 3, n = (row + 1) * (size_t)m->h;
  uint8_t head[25] = "....IHDR", tail[12] = "....IEND", *raw = new_bytes(n), *data = new_bytes(n + n / 65535 * 5 + 32);
  put32_big(head + 8, (uint32_t)m->w), put32_big(head + 12, (uint32_t)m->h), head[16] = 8, head[17] = 2;
  for (int y = 0; y < m->h; y++) memcpy(raw + (size_t)y * (row + 1) + 1, m->rgb + (size_t)y * row, row);
  memcpy(data + 4, "IDAT", 4);
  const size_t packed = zlib_store(raw, n, data + 8);
  atomic_file *a = file_create(path);
  if (fwrite("\x89PNG\r\n\x1a\n", 1, 8, a->f) != 8) file_write_error(path);
  write_chunk(a->f, path, head, 13), write_chunk(a->f, path, data, packed), write_chunk(a->f, path, tail, 0);
  file_commit(a);
  free(raw), free(data);
}
#endif

/* write a BMP */
void image_write_bmp(const char *path, const image *m)
{
  uint32_t w = (uint32_t)m->w, h = (uint32_t)m->h, stride = (w * 3 + 3) / 4 * 4;
  uint8_t head[54] = "BM", *row = NEW(uint8_t, stride);
  put32(head + 2, 54 + stride * h), put32(head + 10, 54), put32(head + 14, 40), put32(head + 18, w),
    put32(head + 22, h);
  put16(head + 26, 1), put16(head + 28, 24), put32(head + 34, stride * h);
  atomic_file *a = file_create(path);
  if (fwrite(head, 1, 54, a->f) != 54) file_write_error(path);
  for (uint32_t y = h; y-- > 0;) {
    for (size_t x = 0; x < w; x++)
      for (size_t c = 0; c < 3; c++) row[3 * x + c] = m->rgb[((size_t)y * w + x) * 3 + 2 - c];
    if (fwrite(row, 1, stride, a->f) != stride) file_write_error(path);
  }
  file_commit(a);
  free(row);
}

/* cut a window */
static int clamp(int v, int low, int high) { return v < low ? low : v > high ? high : v; }

image image_crop(const image *m, int y, int x, int h, int w)
{
  image r = image_new(h, w);
  for (int i = 0; i < h; i++)
    for (int j = 0; j < w; j++) {
      size_t from = (size_t)clamp(y + i, 0, m->h - 1) * (size_t)m->w + (size_t)clamp(x + j, 0,
          m->w - 1);
      memcpy(r.rgb + ((size_t)i * (size_t)w + (size_t)j) * 3, m->rgb + from * 3, 3);
    }
  return r;
}

/* resize by a triangle */
typedef struct { int taps, *first; double *weight; } resampling;      /* first (N), weight (N, taps) */

static resampling triangle_weights(int from, int to)
{
  double s = (double)from / to, wide = s > 1 ? s : 1;
  resampling r = { .taps = (int)(2 * wide) + 2, .first = NEW(int, to) };
  r.weight = NEW(double, (size_t)to * (size_t)r.taps);
  for (int i = 0; i < to; i++) {
    double u = (i + 0.5) * s - 0.5, sum = 0, *w = r.weight + (size_t)i * (size_t)r.taps;
    r.first[i] = clamp((int)floor(u - wide) + 1, 0, from - 1);
    for (int k = 0; k < r.taps && r.first[i] + k < from; k++) {
      double d = 1 - fabs(r.first[i] + k - u) / wide;
      sum += w[k] = d > 0 ? d : 0;
    }
    for (int k = 0; k < r.taps; k++) w[k] /= sum;
  }
  return r;
}

image image_resize(const image *m, int h, int w)
{
  if (h == m->h && w == m->w) return image_crop(m, 0, 0, h, w);
  resampling rx = triangle_weights(m->w, w), ry = triangle_weights(m->h, h);
  /* (m->h, w, 3): rows done, columns not yet */
  double *half = NEW(double, (size_t)m->h * (size_t)w * 3);
  image r = image_new(h, w);
  for (int y = 0; y < m->h; y++)
    for (int x = 0; x < w * 3; x++) {
      int i = x / 3, last = m->w - rx.first[i];
      const uint8_t *p = m->rgb + ((size_t)y * (size_t)m->w + (size_t)rx.first[i]) * 3 + x % 3;
      double sum = 0;
      for (int k = 0; k < rx.taps && k < last; k++)
        sum += rx.weight[(size_t)i * (size_t)rx.taps + (size_t)k] * p[3 * k];
      half[(size_t)y * (size_t)w * 3 + (size_t)x] = sum;
    }
  for (int y = 0; y < h; y++)
    for (size_t x = 0; x < (size_t)w * 3; x++) {
      double sum = 0;
      const double *weight = ry.weight + (size_t)y * (size_t)ry.taps, *column = half + x;
      for (int k = 0; k < ry.taps && ry.first[y] + k < m->h; k++)
        sum += weight[k] * column[(size_t)(ry.first[y] + k) * (size_t)w * 3];
      r.rgb[(size_t)y * (size_t)w * 3 + x] = (uint8_t)(sum + 0.5);
    }
  free(rx.first), free(rx.weight), free(ry.first), free(ry.weight), free(half);
  return r;
}

/* take the luma */
void image_channels(const image *m, int c, uint8_t *to)
{
  const size_t n = (size_t)m->h * (size_t)m->w;
  if (c == 3) { memmove(to, m->rgb, 3 * n); return; }
  for (size_t i = 0; i < n; i++) {
    const uint8_t *p = m->rgb + 3 * i;
    to[i] = (uint8_t)((299 * p[0] + 587 * p[1] + 114 * p[2] + 500) / 1000);
  }
}
