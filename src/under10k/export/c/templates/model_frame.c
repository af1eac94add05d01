/* Framing a digit; @name@_frame.h says how to use it. Integers only; no sum overflows in a picture of up to
 * 4096x4096. */

#include "@name@_frame.h"

typedef struct {
    int top, left, bottom, right; /* the last two lie just outside */
} box_@name@;

static int larger_@name@(int first, int second)
{
    return first > second ? first : second;
}

static int smaller_@name@(int first, int second)
{
    return first < second ? first : second;
}

static int side_@name@(box_@name@ box)
{
    return larger_@name@(box.bottom - box.top, box.right - box.left);
}

/* Returns the first level from `from` on, in steps of `step`, up to which there are more than `share` / 1000 of the
 * pixels from `from` to `to`. */
static int quantile_@name@(const uint32_t counts[256], int from, int to, int step, uint32_t share)
{
    uint32_t all = 0, passed = 0;
    for (int level = from; level != to + step; level += step)
        all += counts[level];
    const uint32_t most = all / 1000 * share + all % 1000 * share / 1000;
    int level = from;
    for (passed = counts[level]; level != to && passed <= most; passed += counts[level])
        level += step;
    return level;
}

/* Returns the brightness midway between the mean of what is darker and the mean of what is lighter, and how many pixels
 * are darker (T. W. Ridler, S. Calvard, "Picture thresholding using an iterative selection method", 1978). */
static int split_@name@(const uint32_t counts[256], int darkest, int lightest, uint32_t *darker, uint32_t *lighter)
{
    int middle = (darkest + lightest + 1) / 2;
    for (int turn = 0; turn < 256; turn++) {
        uint32_t number[2] = {0, 0}, sum[2] = {0, 0};
        for (int level = darkest; level <= lightest; level++) {
            number[level >= middle] += counts[level];
            sum[level >= middle] += counts[level] * (uint32_t)level;
        }
        const int next = (int)((sum[0] / number[0] + sum[1] / number[1] + 1) / 2);
        *darker = number[0];
        *lighter = number[1];
        if (next == middle)
            break;
        middle = next;
    }
    return middle;
}

/* Fills in how much ink, 0 to 255, each brightness means; returns 0 if there is no ink. */
static int find_ink_@name@(const uint32_t counts[256], uint8_t ink[256])
{
    int darkest = 0, lightest = 255;
    while (counts[darkest] == 0)
        darkest++;
    while (counts[lightest] == 0)
        lightest--;
    if (lightest - darkest < @LEAST_CONTRAST@)
        return 0;
    uint32_t darker, lighter;
    const int middle = split_@name@(counts, darkest, lightest, &darker, &lighter);
    const int down = darker <= lighter ? -1 : 1; /* from paper to ink */
    const int end = down < 0 ? darkest : lightest, start = down < 0 ? lightest : darkest;
    const int last_paper = down < 0 ? middle : middle - 1;
    const int paper = quantile_@name@(counts, start, last_paper, down, 500);
    const int full = down * (quantile_@name@(counts, last_paper + down, end, down, @FULL_INK@) - paper);
    /* Paper is as uneven towards ink as it is away from it, give or take half; the last thousandth may be anything. */
    const int uneven = down * (paper - quantile_@name@(counts, start, last_paper, down, 1));
    if (full <= uneven || full < @LEAST_CONTRAST@)
        return 0;
    const int least = smaller_@name@(uneven + uneven / 2, down * (middle - paper));
    for (int level = 0; level < 256; level++) {
        const int amount = down * (level - paper);
        ink[level] = (uint8_t)(amount <= least ? 0 : smaller_@name@(255, (255 * amount + full / 2) / full));
    }
    return 1;
}

/* The larger a digit, the sharper its edges: as many times as it must be shrunk, up to @LARGEST_GAIN@ times. */
static void sharpen_@name@(uint8_t ink[256], int side)
{
    const int gain = larger_@name@(@BOX@, smaller_@name@(side, @LARGEST_GAIN@ * @BOX@));
    for (int level = 0; level < 256; level++) {
        const int twice = (2 * ink[level] - 255) * gain / @BOX@ + 255;
        ink[level] = (uint8_t)larger_@name@(0, smaller_@name@(255, (twice + 1) / 2));
    }
}

/* Returns the box around all pixels within `within` that have more than `least` ink; an empty one if none has. */
static box_@name@ find_box_@name@(const uint8_t *grey, int stride, const uint8_t ink[256], box_@name@ within, int least)
{
    box_@name@ box = {within.bottom, within.right, within.top, within.left};
    for (int y = within.top; y < within.bottom; y++)
        for (int x = within.left; x < within.right; x++)
            if (ink[grey[(intptr_t)y * stride + x]] > least) {
                box.top = smaller_@name@(box.top, y);
                box.left = smaller_@name@(box.left, x);
                box.bottom = y + 1;
                box.right = larger_@name@(box.right, x + 1);
            }
    return box;
}

/* Returns the first of @SIDE@ pixels that the box's edge falls on, so that the centre of mass falls into the pixel just
 * behind the middle, and no ink out of the picture. `moment` is the sum of ink times its distance from that edge. */
static int place_@name@(int64_t mass, int64_t moment, int length, int side)
{
    const int64_t whole = mass * side;
    const int64_t before = whole * @SIDE@ / 2 - (2 * moment + mass) * @BOX@ / 2 - whole / @SLACK@;
    const int last = @SIDE@ - (@BOX@ * length + side - 1) / side;
    return before <= 0 ? 0 : (int)((before + whole - 1) / whole < last ? (before + whole - 1) / whole : last);
}

/* Returns the length that source pixel `at` and pixel `target` of the frame share, in 1 / @BOX@ of a source pixel. */
static int overlap_@name@(int at, int target, int side)
{
    const int low = larger_@name@(@BOX@ * at, target * side);
    const int high = smaller_@name@(@BOX@ * (at + 1), (target + 1) * side);
    return larger_@name@(0, high - low);
}

int @name@_frame(const uint8_t *grey, int width, int height, int stride, uint8_t pixels[784])
{
    uint32_t counts[256] = {0};
    uint8_t ink[256];
    for (int i = 0; i < 784; i++)
        pixels[i] = 0;
    if (width < 1 || height < 1 || width > 4096 || height > 4096)
        return 0;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            counts[grey[(intptr_t)y * stride + x]]++;
    if (!find_ink_@name@(counts, ink))
        return 0;

    box_@name@ box = {0, 0, height, width};
    box = find_box_@name@(grey, stride, ink, box, 127);
    if (side_@name@(box) < @SMALLEST_DIGIT@)
        return 0;
    sharpen_@name@(ink, side_@name@(box));
    const box_@name@ around = {
        larger_@name@(0, box.top - @HALO@),
        larger_@name@(0, box.left - @HALO@),
        smaller_@name@(height, box.bottom + @HALO@),
        smaller_@name@(width, box.right + @HALO@),
    };
    box = find_box_@name@(grey, stride, ink, around, @FAINTEST@);
    grey += (intptr_t)box.top * stride + box.left;

    const int rows = box.bottom - box.top, columns = box.right - box.left, side = side_@name@(box);
    int64_t mass = 0, down = 0, across = 0;
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < columns; x++) {
            const int64_t amount = ink[grey[(intptr_t)y * stride + x]];
            mass += amount;
            down += amount * y;
            across += amount * x;
        }
    const int top = place_@name@(mass, down, rows, side), left = place_@name@(mass, across, columns, side);
    for (int y = top; y < @SIDE@; y++)
        for (int x = left; x < @SIDE@; x++) {
            const int last_row = smaller_@name@(rows - 1, ((y - top + 1) * side - 1) / @BOX@);
            const int last_column = smaller_@name@(columns - 1, ((x - left + 1) * side - 1) / @BOX@);
            uint32_t sum = 0; /* at most 255 for each unit of the pixel's area, of which there are at most 4096 * 4096 */
            for (int v = (y - top) * side / @BOX@; v <= last_row; v++)
                for (int u = (x - left) * side / @BOX@; u <= last_column; u++)
                    sum += (uint32_t)(overlap_@name@(v, y - top, side) * overlap_@name@(u, x - left, side)) *
                           ink[grey[(intptr_t)v * stride + u]];
            const uint32_t area = (uint32_t)side * (uint32_t)side;
            pixels[@SIDE@ * y + x] = (uint8_t)((sum + area / 2) / area);
        }
    return 1;
}
