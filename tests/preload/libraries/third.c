/* Is found by run path alone. */
extern const char *const third_name;
const char *const third_name = "third";
