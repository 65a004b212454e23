"""Mutations of studies, faults and workers."""

from mutations import Mutation

STUDY = "src/diptych/run/study.py"
FILE = "src/diptych/run/study_file.py"
OUTCOMES = "src/diptych/run/outcomes.py"
ESTIMATE = "src/diptych/run/estimate.py"
LISTED = "src/diptych/cli_runs.py"
LISTING = "src/diptych/run/listing.py"
TENSORS = "src/diptych/run/tensors.py"
SEALED = "src/diptych/run/sealed.py"
FOLDER = "src/diptych/run/folder.py"
RUN = "src/diptych/run/run.py"
FILES = "src/diptych/files.py"
RAY = "src/diptych/run/ray.py"
STORE = "src/diptych/run/store.py"
PROGRESS = "src/diptych/run/progress.py"
OPTIONS = "src/diptych/cli_options.py"
DAMAGE, DISKS, DRIVERS, HOSTILE = (f"tests/test_{noun}.py::" for noun in ("damage", "disks", "drivers", "hostile"))

RUNS_MUTATIONS: tuple[Mutation, ...] = (
    (STUDY, "[share - 1 :: shares]", "[share - 1 :]", "tests/test_study.py::test_shards_are_the_whole_study_and_divide_no_pair_of_model_and_task"),
    (STUDY, 'STRICT = ConfigDict(extra="forbid")', "STRICT = ConfigDict()", "tests/test_study.py::test_what_is_no_study_is_refused_with_its_place"),
    (STUDY, 'self.seeds and "seed" in _experiment', 'self.seeds and "seed" not in _experiment', "tests/test_study.py::test_cells_are_models_by_tasks_by_experiments_by_seeds_of_those_that_take_one"),
    (FILE, "isinstance(event, yaml.AliasEvent)", "isinstance(event, yaml.StreamStartEvent)", "tests/test_study.py::test_what_is_no_study_is_refused_with_its_place"),
    (FILE, "        if twice:", "        if not keys:", "tests/test_study.py::test_what_is_no_study_is_refused_with_its_place"),
    (FILE, "several(inner) if following.isdecimal() else named(inner)", "named(inner)", "tests/test_study.py::test_a_change_goes_to_its_place"),
    (OUTCOMES, "        except Exception as error:  # also of torch", "        except KeyError as error:  # also of torch", "tests/test_study.py::test_a_cell_that_fails_is_told_and_the_others_are_done"),
    (ESTIMATE, "self.working * ratio, self.between)", "self.working * ratio, self.between * ratio)", "tests/test_estimate.py::test_units_grow_with_the_items_and_statistics_do_not"),
    (ESTIMATE, "            self.seconds += time.perf_counter() - start\n", "            self.seconds = time.perf_counter() - start\n", "tests/test_estimate.py::test_the_clock_adds_up_the_work_and_not_what_is_done_between"),
    (TENSORS, "if noted not in (None, digest(tensors)):", "if noted is tensors:", DAMAGE + "test_a_damaged_file_is_told_or_computed_again_and_no_number_is_wrong[unit-bit flipped]"),
    (SEALED, "if noted not in (None, _checksum(text)):", "if noted is text:", DAMAGE + "test_a_damaged_file_is_told_or_computed_again_and_no_number_is_wrong[result-bit flipped]"),
    (SEALED, "    if size > largest:", "    if size < 0:", HOSTILE + "test_json_that_is_made_to_exhaust_the_reader_is_refused[large-run]"),
    (SEALED, "except (ValueError, RecursionError) as error:", "except ValueError as error:", HOSTILE + "test_json_that_is_made_to_exhaust_the_reader_is_refused[deep-result]"),
    (FOLDER, "    except OSError as error:\n        raise StoreError(\n            f\"{path} cannot be written", "    except KeyError as error:\n        raise StoreError(\n            f\"{path} cannot be written", DISKS + "test_a_file_that_cannot_be_written_is_told_and_the_same_command_goes_on[unit]"),
    (RUN, "        if folder.has_unit(name, unit.id):\n            del missing", "        if not name:\n            del missing", DRIVERS + "test_what_another_driver_stored_meanwhile_is_not_computed_again"),
    (RUN, "            folder.reopen(str(error))\n", "            return {}\n", DAMAGE + "test_damaged_grids_are_computed_again_from_the_units_and_said_so"),
    (RUN, '            log.warning("%s", reason)\n', "            del reason\n", "tests/test_listing.py::test_a_run_that_is_computed_tells_of_the_stale_one_beside_it"),
    (FILES, "                _remove(Path(base, name))\n", "                pass\n", DRIVERS + "test_a_study_killed_at_random_moments_and_resumed_is_the_uninterrupted_one"),
    (LISTING, "    if links:", "    if not links and path is root:", "tests/test_listing.py::test_a_run_behind_a_link_is_not_deleted"),
    (LISTING, "if folder.is_dir() and not folder.is_symlink()]", "if folder.is_dir()]", "tests/test_listing.py::test_what_diptych_did_not_write_is_left"),
    (LISTING, '    if identity["version"] != experiment.version:', '    if identity["version"] is experiment:', "tests/test_listing.py::test_a_result_is_stale_if_today_s_code_would_name_it_otherwise"),
    (RAY, "                again.extend([unit] if unit else [])\n", "", "tests/test_ray.py::test_a_worker_that_is_killed_is_replaced_and_its_unit_done_again"),
    (RAY, "raise error.cause from error", "raise", "tests/test_ray.py::test_an_error_of_a_unit_is_the_error_of_the_run"),
    (STORE, 'object.__setattr__(self, "root", Path(self.root))', 'object.__setattr__(self, "root", self.root)', "tests/test_store.py::test_a_store_may_be_named_by_a_text"),
    (STORE, "    except FileNotFoundError:\n", "    except (FileNotFoundError, PermissionError):\n", DISKS + "test_a_folder_that_may_not_be_read_is_not_taken_for_an_empty_one"),
    (FOLDER, "    if digest != expected:", "    if digest is expected:", "tests/test_store.py::test_a_folder_with_the_right_digest_but_another_identity_is_refused"),
    (FILE, "        if event.tag is not None:", '        if event.tag == "":', "tests/test_study.py::test_what_is_no_study_is_refused_with_its_place"),
    (FILE, "(OSError, ValueError, yaml.YAMLError", "(OSError, yaml.YAMLError", "tests/test_study.py::test_what_is_no_study_is_refused_with_its_place"),
    (FILE, "        json.dumps(plain, ensure_ascii=False).encode()", "        json.dumps(plain)", "tests/test_study.py::test_what_is_no_study_is_refused_with_its_place"),
    (FILE, ' if not tag.endswith(":timestamp")', "", "tests/test_study.py::test_a_date_is_a_text"),
    (FILE, "    with storing(path):\n", "    if path:\n", DISKS + "test_a_study_that_cannot_be_written_beside_its_results_is_told"),
    (ESTIMATE, "            except Exception as error:", "            except KeyError as error:", "tests/test_estimate.py::test_what_cannot_be_rehearsed_is_unknown_with_its_reason_and_the_rest_is_known"),
    (ESTIMATE, "    except Exception as error:  # also", "    except KeyError as error:  # also", "tests/test_estimate.py::test_what_cannot_be_rehearsed_is_unknown_with_its_reason_and_the_rest_is_known"),
    (OPTIONS, "command(**given, loading=loading)", "command(**given, loading={})", "tests/test_cli_options.py::test_options_reach_the_run"),
    (PROGRESS, "initial=done", "initial=0", "tests/test_progress.py::test_a_bar_tells_the_rate_and_the_time_left_of_what_was_not_stored"),
    (RUN, "        if len(missing) < len(listed):\n", "        if not listed:\n", "tests/test_progress.py::test_the_log_of_a_run_tells_each_unit_the_end_and_what_a_second_driver_found"),
    (STUDY, '.startswith("missing")', '.startswith("absent")', "tests/test_study.py::test_what_is_no_study_is_refused_with_its_place"),
    (FILE, "(told or str(error))", "str(error)", "tests/test_cli.py::test_bad_input_is_a_message_and_status_two"),
    (LISTED, "if not folder.exists():", "if folder.is_file():", "tests/test_listing.py::test_a_folder_that_is_not_there_is_refused"),
)  # fmt: skip
