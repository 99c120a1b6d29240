/* rehash FOLDER: writes the MANIFEST of a checkpoint anew, so that files which a test has changed
 * are not refused for their hashes. */
#include "json.h"

#include <stdlib.h>
#include <xxhash.h>

int main(int argc, char **argv)
{
    Error error = {0};
    json_t *manifest, *entry;
    const char *name;
    char *path = argc == 2 ? string_format("%s/MANIFEST", argv[1]) : NULL;
    if (!path || json_read_file(&manifest, path, &error)) {
        fprintf(stderr, "rehash: %s\n", path ? error.text : "usage: rehash FOLDER");
        return EXIT_USAGE;
    }
    json_object_foreach(json_object_get(manifest, "files"), name, entry)
    {
        char *of = string_format("%s/%s", argv[1], name), hex[17];
        File file;
        if (!file_map(&file, of, &error)) {
            snprintf(hex, sizeof hex, "%016llx",
                     (unsigned long long)XXH3_64bits(file.bytes, file.size));
            json_object_set_new(entry, "size", json_integer((json_int_t)file.size));
            json_object_set_new(entry, "xxh3", json_string(hex));
            file_unmap(&file);
        }
        free(of);
    }
    int code = error.code ? error.code : json_write_file(manifest, path, 0, &error);
    free(path);
    if (code) {
        fprintf(stderr, "rehash: %s\n", error.text);
    }
    return code;
}
