/* What the plugin of the loading test offers. */
#pragma once

int plugin_talk(int pair[2]);
const char *plugin_dependency(void);
