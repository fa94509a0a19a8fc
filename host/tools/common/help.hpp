// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstddef>
#include <sstream>
#include <string>

namespace tools {

/// Help that reads as a manual page does: an option's value and default behind its name, descriptions wrapped.
class help_formatter final : public CLI::Formatter {
 public:
  help_formatter() {
    column_width(indent);
    label("SUBCOMMAND", "COMMAND");
    label("Subcommands", "Commands");
    label("OPTIONS", "OPTION...");
  }

  std::string make_option_opts(const CLI::Option* option) const override {
    if (option->get_type_size() == 0) return "";
    std::string type = option->get_type_name();
    type.resize(std::min(type.find(':'), type.size()));  // behind it stands what the validators are called
    const std::string value = option->get_default_str();
    // A positional is known by its name.
    std::string out = option->get_positional() || type.empty() ? "" : " " + type;
    if (!value.empty() && !option->get_positional()) out += " (" + value + ")";
    return out;
  }

  std::string make_option(const CLI::Option* option, bool positional) const override {
    return entry(make_option_name(option, positional) + make_option_opts(option), make_option_desc(option));
  }

  std::string make_subcommand(const CLI::App* command) const override {
    return entry(command->get_name(), command->get_description());
  }

  std::string make_footer(const CLI::App* app) const override {
    // Of the program's own; a command refers to it.
    if (app->get_parent() != nullptr)
      return "\nSee also " + app->get_parent()->get_name() + " --help: options of all commands, exit status.\n";
    const std::string footer = app->get_footer();
    return footer.empty() ? footer : "\n" + footer;
  }

 private:
  static constexpr std::size_t indent = 28;
  static constexpr std::size_t width = 100;

  static std::string entry(const std::string& name, const std::string& description) {
    std::string out = "  " + name;
    out += out.size() + 2 > indent ? "\n" + std::string(indent, ' ') : std::string(indent - out.size(), ' ');
    std::size_t column = indent;
    std::istringstream words(description);
    for (std::string word; words >> word;) {
      if (column != indent && column + 1 + word.size() > width) {
        out += "\n" + std::string(indent, ' ');
        column = indent;
      }
      if (column != indent) {
        out += ' ';
        ++column;
      }
      out += word;
      column += word.size();
    }
    return out + "\n";
  }
};

}  // namespace tools
