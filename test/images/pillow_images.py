"""Writes images of every kind of pixel, and what Pillow makes of them, for pillow.test.ts.

usage: pillow_images.py FOLDER

FOLDER/expected.json has {name: {width, height, rgb: base64}} for each file; rgb is null where Pillow cannot read
it, or where what it makes of it is not what the file says.
"""
import base64
import json
import os
import struct
import sys
import zlib

from PIL import Image, ImageCms, ImageOps

folder = sys.argv[1]
W, H = 24, 16
gradient = Image.new("RGB", (W, H))
gradient.putdata(
    [(x * 255 // (W - 1), y * 255 // (H - 1), (x * 7 + y * 11) * 3 % 256) for y in range(H) for x in range(W)]
)
smooth = gradient.resize((64, 48), Image.BICUBIC)
pixels = list(gradient.getdata())
rows = [pixels[y * W : (y + 1) * W] for y in range(H)]
# Pillow reads 16-bit gray, but its convert('RGB') clips it at 255 instead of scaling it.
by_hand = {}


def path(name):
    return os.path.join(folder, name)


def write(name, data):
    with open(path(name), "wb") as file:
        file.write(data)


def read(name):
    with open(path(name), "rb") as file:
        return file.read()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(name, depth, colour_type, lines, extra=b""):
    header = struct.pack(">IIBBBBB", W, H, depth, colour_type, 0, 0, 0)
    content = zlib.compress(b"".join(b"\0" + line for line in lines))
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", content) + chunk(b"IEND", b"")
    write(name, b"\x89PNG\r\n\x1a\n" + body)


def wide(values):
    return b"".join(struct.pack(">H", value * 257) for value in values)


def packed(values, depth):
    line = bytearray()
    per_byte = 8 // depth
    for start in range(0, len(values), per_byte):
        byte = 0
        for value in values[start : start + per_byte]:
            byte = byte << depth | value
        line.append(byte)
    return bytes(line)


def tiff(name, data, samples, bits, colours, sample_format=1, extra=()):
    """A TIFF of one strip, little endian; `extra` are more entries of type SHORT."""
    entries = [(256, W), (257, H), (259, 1), (262, colours), (277, samples), (278, H), (284, 1), *extra]
    lists = {258: [bits] * samples, 339: [sample_format] * samples}
    count = len(entries) + len(lists) + 2
    end = 8 + 2 + 12 * count + 4
    tail = b""
    directory = []
    for tag, value in entries:
        directory.append((tag, struct.pack("<HHIHH", tag, 3, 1, value, 0)))
    for tag, values in lists.items():
        content = struct.pack(f"<{samples}H", *values)
        if len(content) > 4:
            place = struct.pack("<I", end + len(tail))
            tail += content
        else:
            place = content.ljust(4, b"\0")
        directory.append((tag, struct.pack("<HHI", tag, 3, samples) + place))
    directory.append((273, struct.pack("<HHII", 273, 4, 1, end + len(tail))))
    directory.append((279, struct.pack("<HHII", 279, 4, 1, len(data))))
    body = b"".join(entry for _, entry in sorted(directory))
    header = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", count)
    write(name, header + body + struct.pack("<I", 0) + tail + data)


def repeated(values):
    return bytes(value for value in values for _ in range(3))


profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
red = [pixel[0] for pixel in pixels]

# JPEG
smooth.save(path("rgb.jpg"), quality=92)
smooth.save(path("progressive.jpg"), progressive=True, subsampling=2)
smooth.save(path("profile.jpg"), icc_profile=profile)
smooth.convert("L").save(path("gray.jpg"))
smooth.convert("CMYK").save(path("cmyk.jpg"), quality=95)
smooth.convert("CMYK").save(path("cmyk-profile.jpg"), quality=95, icc_profile=profile)
inverted = read("cmyk.jpg")
adobe = inverted.index(b"\xff\xee")
length = struct.unpack(">H", inverted[adobe + 2 : adobe + 4])[0]
write("cmyk-plain.jpg", inverted[:adobe] + inverted[adobe + 2 + length :])
ycck = bytearray(inverted)
ycck[adobe + 15] = 2
write("ycck.jpg", bytes(ycck))
plain = read("rgb.jpg")
write("rgb-adobe.jpg", plain[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0" + plain[2:])
for orientation in range(1, 9):
    exif = Image.Exif()
    exif[0x112] = orientation
    for ending in ("jpg", "png", "webp"):
        options = {"quality": 95} if ending == "jpg" else {"lossless": True}
        smooth.save(path(f"turned{orientation}.{ending}"), exif=exif, **options)

# PNG
for depth in (1, 2, 4, 8):
    top = (1 << depth) - 1
    lines = [packed([pixel[0] * top // 255 for pixel in row], depth) for row in rows]
    colours = bytes(value for i in range(top + 1) for value in (i * 37 % 256, i * 91 % 256, (255 - i * 13) % 256))
    palette = chunk(b"PLTE", colours)
    png(f"gray{depth}.png", depth, 0, lines)
    png(f"gray{depth}-key.png", depth, 0, lines, chunk(b"tRNS", struct.pack(">H", 1)))
    png(f"palette{depth}.png", depth, 3, lines, palette)
    png(f"palette{depth}-alpha.png", depth, 3, lines, palette + chunk(b"tRNS", bytes([0, 128])))
rgb_lines = [bytes(value for pixel in row for value in pixel) for row in rows]
png("rgb-key.png", 8, 2, rgb_lines, chunk(b"tRNS", struct.pack(">HHH", *rows[3][3])))
png("rgb-gamma.png", 8, 2, rgb_lines, chunk(b"gAMA", struct.pack(">I", 100000)))
png("rgba.png", 8, 6, [bytes(value for p in row for value in (*p, p[2])) for row in rows])
png("gray-alpha.png", 8, 4, [bytes(value for p in row for value in p[:2]) for row in rows])
png("rgb16.png", 16, 2, [wide(value for pixel in row for value in pixel) for row in rows])
png("rgb16-gamma.png", 16, 2, [wide(v for p in row for v in p) for row in rows], chunk(b"gAMA", struct.pack(">I", 100000)))
png("rgba16.png", 16, 6, [wide(value for p in row for value in (*p, p[2])) for row in rows])
png("gray-alpha16.png", 16, 4, [wide(value for p in row for value in p[:2]) for row in rows])
png("gray16.png", 16, 0, [wide(pixel[0] for pixel in row) for row in rows])
by_hand["gray16.png"] = repeated(red)
gradient.save(path("profile.png"), icc_profile=profile)

# GIF and WebP; of an animation the first frame
other = Image.new("RGB", (W, H), "red")
gradient.save(path("colour.gif"))
gradient.convert("L").save(path("gray.gif"))
gradient.convert("P").save(path("transparent.gif"), transparency=3)
gradient.save(path("moving.gif"), save_all=True, append_images=[other])
smooth.save(path("lossless.webp"), lossless=True)
smooth.save(path("lossy.webp"), quality=90)
alpha = Image.merge("RGBA", (*smooth.split(), smooth.split()[2]))
alpha.save(path("alpha.webp"), lossless=True, exact=True)
smooth.save(path("moving.webp"), save_all=True, append_images=[other.resize(smooth.size)], lossless=True)

# TIFF
gradient.save(path("rgb.tif"))
gradient.save(path("lzw.tif"), compression="tiff_lzw")
smooth.save(path("jpeg.tif"), compression="jpeg", quality=95)
for mode in ("1", "L", "P", "CMYK"):
    gradient.convert(mode).save(path(f"mode-{mode}.tif"))
Image.merge("LA", gradient.split()[:2]).save(path("gray-alpha.tif"))
flat = b"".join(bytes(pixel) for pixel in pixels)
tiff("gray-inverted.tif", bytes(red), 1, 8, 0)
tiff("rgb16.tif", struct.pack(f"<{3 * W * H}H", *(value * 257 for value in flat)), 3, 16, 2)
tiff("gray16.tif", struct.pack(f"<{W * H}H", *(value * 257 for value in red)), 1, 16, 1)
by_hand["gray16.tif"] = repeated(red)
tiff("gray16-inverted.tif", struct.pack(f"<{W * H}H", *(value * 257 for value in red)), 1, 16, 0)
by_hand["gray16-inverted.tif"] = repeated(255 - value for value in red)
with_alpha = bytes(value for p in pixels for value in (*p, p[2]))
tiff("alpha.tif", with_alpha, 4, 8, 2, extra=[(338, 2)])
tiff("unused.tif", with_alpha, 4, 8, 2, extra=[(338, 0)])
multiplied = bytes(value for p in pixels for value in (*(c // 2 for c in p), 128))
tiff("multiplied.tif", multiplied, 4, 8, 2, extra=[(338, 1)])
# Pixels whose black and white, or whose colours, are not known to everybody
tiff("float01.tif", struct.pack(f"<{W * H}f", *(value / 255 for value in red)), 1, 32, 1, 3)
tiff("float255.tif", struct.pack(f"<{W * H}f", *red), 1, 32, 1, 3)
tiff("float-rgb.tif", struct.pack(f"<{3 * W * H}f", *(value / 255 for value in flat)), 3, 32, 2, 3)
tiff("double.tif", struct.pack(f"<{W * H}d", *(value / 255 for value in red)), 1, 64, 1, 3)
tiff("integer32.tif", struct.pack(f"<{W * H}I", *red), 1, 32, 1)
tiff("signed16.tif", struct.pack(f"<{W * H}h", *red), 1, 16, 1, 2)
tiff("cmyk16.tif", struct.pack(f"<{4 * W * H}H", *(value * 257 for value in with_alpha)), 4, 16, 5)
tiff("lab.tif", flat, 3, 8, 8)
tiff("ycbcr.tif", flat, 3, 8, 6)

expected = {}
for name in sorted(os.listdir(folder)):
    if name == "expected.json":
        continue
    try:
        image = ImageOps.exif_transpose(Image.open(path(name)))
        width, height = image.size
        rgb = image.convert("RGB").tobytes()
    except Exception:
        width, height, rgb = W, H, None
    rgb = by_hand.get(name, rgb)
    text = None if rgb is None else base64.b64encode(rgb).decode()
    expected[name] = {"width": width, "height": height, "rgb": text}
with open(path("expected.json"), "w") as file:
    json.dump(expected, file)
